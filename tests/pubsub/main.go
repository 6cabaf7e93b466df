// A Pub/Sub for tests: Google's own fake (pstest), which speaks gRPC, behind the routes of the REST API.
//
// The routes are translated and nothing else: a body is the request's protobuf in JSON, an error has gRPC's code. What is ours is
// who may call (a token of ours, or one that an account's signed word was exchanged for) and how a pull waits for messages: by
// asking again until there are some, for the fake itself looks only twice.
//
//	server PORT TOKEN FOLDER TOKEN_URI
//
// TOKEN may be changed by POST /suite/token. The key of a service account is written to FOLDER/key.json, and the server says `ready`.
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	account       = "conformance@suite.iam.gserviceaccount.com"
	scope         = "https://www.googleapis.com/auth/pubsub"
	tokenSeconds  = 20
	bodyBytesMax  = 32 << 20
	pullWait      = time.Second
	pullPause     = 10 * time.Millisecond
	skewSeconds   = 60
	assertionKind = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

type server struct {
	fake     *pstest.GServer
	key      *rsa.PrivateKey
	tokenURI string

	mutex  sync.Mutex
	token  string
	issued map[string]time.Time
}

func main() {
	if len(os.Args) != 5 {
		fail("PORT TOKEN FOLDER TOKEN_URI are missing")
	}
	port, token, folder, tokenURI := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check(err)
	check(os.WriteFile(filepath.Join(folder, "key.json"), keyFile(key, tokenURI), 0o600))
	// Tests end what they lease: they need not wait for ten seconds.
	pstest.SetMinAckDeadline(time.Second)
	fake := pstest.NewServer()
	s := &server{fake: &fake.GServer, key: key, tokenURI: tokenURI, token: token, issued: map[string]time.Time{}}
	http.HandleFunc("/token", s.exchange)
	http.HandleFunc("/suite/token", s.setToken)
	http.HandleFunc("/v1/", s.serve)
	// Whoever reads `ready` connects at once.
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	check(err)
	fmt.Println("ready")
	check(http.Serve(listener, nil))
}

func fail(what string) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func keyFile(key *rsa.PrivateKey, tokenURI string) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	file, err := json.Marshal(map[string]string{
		"type":           "service_account",
		"project_id":     "suite",
		"private_key_id": "k1",
		"private_key":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email":   account,
		"token_uri":      tokenURI,
	})
	check(err)
	return file
}

// Another token, for calls from now on.
func (s *server) setToken(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(io.LimitReader(in.Body, bodyBytesMax))
	if err != nil {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.token = string(body)
}

// An account's signed word for a token (RFC 7523).
func (s *server) exchange(out http.ResponseWriter, in *http.Request) {
	reason := s.believed(in.PostFormValue("grant_type"), in.PostFormValue("assertion"))
	answer := map[string]any{"error": "invalid_grant", "error_description": reason}
	if reason != "" {
		out.WriteHeader(http.StatusBadRequest)
	} else {
		bytes := make([]byte, 24)
		_, err := rand.Read(bytes)
		check(err)
		token := base64.RawURLEncoding.EncodeToString(bytes)
		s.mutex.Lock()
		s.issued[token] = time.Now().Add(tokenSeconds * time.Second)
		s.mutex.Unlock()
		answer = map[string]any{"access_token": token, "expires_in": tokenSeconds, "token_type": "Bearer"}
	}
	check(json.NewEncoder(out).Encode(answer))
}

// Why a signed word is not believed, if it is not.
func (s *server) believed(kind, assertion string) string {
	parts := strings.Split(assertion, ".")
	if kind != assertionKind || len(parts) != 3 {
		return "no assertion"
	}
	var decoded [3][]byte
	for n, part := range parts {
		bytes, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return "not base64url"
		}
		decoded[n] = bytes
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, hash[:], decoded[2]) != nil {
		return "Invalid JWT Signature."
	}
	var header struct{ Alg, Typ, Kid string }
	var claims struct {
		Iss, Scope, Aud string
		Iat, Exp        int64
	}
	if json.Unmarshal(decoded[0], &header) != nil || json.Unmarshal(decoded[1], &claims) != nil {
		return "not JSON"
	}
	if header.Alg != "RS256" || header.Typ != "JWT" || header.Kid != "k1" {
		return "another header"
	}
	now := time.Now().Unix()
	if claims.Iss != account || claims.Scope != scope || claims.Aud != s.tokenURI {
		return "another account, scope or audience"
	}
	if claims.Iat > now+skewSeconds || claims.Exp < now || claims.Exp-claims.Iat > 3600 {
		return "not of a reasonable timeframe"
	}
	return ""
}

func (s *server) isLetIn(in *http.Request) bool {
	token, isBearer := strings.CutPrefix(in.Header.Get("Authorization"), "Bearer ")
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return isBearer && (token == s.token || time.Now().Before(s.issued[token]))
}

func (s *server) serve(out http.ResponseWriter, in *http.Request) {
	answer, err := s.call(in)
	var body []byte
	if err == nil {
		body, err = protojson.Marshal(answer)
	}
	out.Header().Set("Content-Type", "application/json; charset=UTF-8")
	if err != nil {
		is := status.Convert(err)
		code, name := httpOf(is.Code())
		body, err = json.Marshal(map[string]any{
			"error": map[string]any{"code": code, "message": is.Message(), "status": name},
		})
		check(err)
		out.WriteHeader(code)
	}
	// Whoever asked may be gone.
	_, _ = out.Write(body)
}

func (s *server) call(in *http.Request) (proto.Message, error) {
	if !s.isLetIn(in) {
		return nil, status.Error(codes.Unauthenticated, "Request had invalid authentication credentials.")
	}
	ctx := in.Context()
	name, method, _ := strings.Cut(strings.TrimPrefix(in.URL.Path, "/v1/"), ":")
	read := func(into proto.Message) error {
		body, err := io.ReadAll(http.MaxBytesReader(nil, in.Body, bodyBytesMax))
		if err == nil && len(body) > 0 {
			err = protojson.Unmarshal(body, into)
		}
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		return nil
	}
	isTopic := strings.Contains(name, "/topics/")
	switch in.Method + " " + method {
	case "GET ":
		if isTopic {
			return s.fake.GetTopic(ctx, &pb.GetTopicRequest{Topic: name})
		}
		return s.fake.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: name})
	case "PUT ":
		if isTopic {
			topic := &pb.Topic{}
			if err := read(topic); err != nil {
				return nil, err
			}
			topic.Name = name
			return s.fake.CreateTopic(ctx, topic)
		}
		subscription := &pb.Subscription{}
		if err := read(subscription); err != nil {
			return nil, err
		}
		subscription.Name = name
		return s.fake.CreateSubscription(ctx, subscription)
	case "POST publish":
		request := &pb.PublishRequest{}
		if err := read(request); err != nil {
			return nil, err
		}
		request.Topic = name
		if err := publishable(request); err != nil {
			return nil, err
		}
		return s.fake.Publish(ctx, request)
	case "POST pull":
		request := &pb.PullRequest{}
		if err := read(request); err != nil {
			return nil, err
		}
		request.Subscription = name
		return s.pull(ctx, request)
	case "POST acknowledge":
		request := &pb.AcknowledgeRequest{}
		if err := read(request); err != nil {
			return nil, err
		}
		request.Subscription = name
		return s.fake.Acknowledge(ctx, request)
	case "POST modifyAckDeadline":
		request := &pb.ModifyAckDeadlineRequest{}
		if err := read(request); err != nil {
			return nil, err
		}
		request.Subscription = name
		return s.fake.ModifyAckDeadline(ctx, request)
	}
	return nil, status.Errorf(codes.Unimplemented, "%s %s", in.Method, in.URL.Path)
}

// What the service's reference asks of a call, and the fake does not.
func publishable(request *pb.PublishRequest) error {
	if len(request.Messages) == 0 || len(request.Messages) > 1000 || proto.Size(request) > 10_000_000 {
		return status.Error(codes.InvalidArgument, "a call has 1 to 1000 messages and 10 MB at most")
	}
	for _, message := range request.Messages {
		if message.OrderingKey != request.Messages[0].OrderingKey {
			return status.Error(codes.InvalidArgument, "all messages of a call have one ordering key")
		}
		if len(message.Data) == 0 && len(message.Attributes) == 0 {
			return status.Error(codes.InvalidArgument, "a message has data or attributes")
		}
	}
	return nil
}

func (s *server) pull(ctx context.Context, request *pb.PullRequest) (proto.Message, error) {
	until := time.Now().Add(pullWait)
	waits := !request.ReturnImmediately
	request.ReturnImmediately = true
	for {
		answer, err := s.fake.Pull(ctx, request)
		if err != nil || len(answer.ReceivedMessages) > 0 || !waits || time.Now().After(until) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-time.After(pullPause):
		}
	}
}

// As google.rpc.Code names them.
func httpOf(code codes.Code) (int, string) {
	switch code {
	case codes.InvalidArgument:
		return 400, "INVALID_ARGUMENT"
	case codes.FailedPrecondition:
		return 400, "FAILED_PRECONDITION"
	case codes.Unauthenticated:
		return 401, "UNAUTHENTICATED"
	case codes.PermissionDenied:
		return 403, "PERMISSION_DENIED"
	case codes.NotFound:
		return 404, "NOT_FOUND"
	case codes.AlreadyExists:
		return 409, "ALREADY_EXISTS"
	case codes.ResourceExhausted:
		return 429, "RESOURCE_EXHAUSTED"
	case codes.Canceled:
		return 499, "CANCELLED"
	case codes.Unimplemented:
		return 501, "UNIMPLEMENTED"
	case codes.Unavailable:
		return 503, "UNAVAILABLE"
	case codes.DeadlineExceeded:
		return 504, "DEADLINE_EXCEEDED"
	}
	return 500, "INTERNAL"
}
