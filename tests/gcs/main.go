// Google Cloud Storage for tests: fake-gcs-server, which speaks the JSON API, and beside it what that does not have.
//
// What is ours: who may call (a token, or with ANYBODY whoever comes); that an object is read on the condition of its generation,
// which the fake passes over; the reason of a put whose condition is not kept, which the fake says otherwise; and uploads in
// parts of the XML API, which the fake does not know. Their parts wait here; an upload that is completed is put by the fake's own
// JSON API.
//
//	server PORT TOKEN
//
// TOKEN may be changed by POST /suite/token, and the server says `ready`.
package main

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

const (
	anybody      = "ANYBODY"
	bodyBytesMax = 64 << 20
	// The service takes no smaller ones, but for the last of an object.
	partBytesMin = 5 << 20
)

type server struct {
	fake http.Handler

	mutex   sync.Mutex
	token   string
	uploads map[string]*upload
	next    int
}

type upload struct {
	bucket, key string
	parts       map[int][]byte
}

func main() {
	if len(os.Args) != 3 {
		fail("PORT TOKEN are missing")
	}
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener: true,
		Scheme:     "http",
		PublicHost: "127.0.0.1:" + os.Args[1],
		Writer:     io.Discard,
	})
	check(err)
	s := &server{fake: fake.HTTPHandler(), token: os.Args[2], uploads: map[string]*upload{}}
	// Whoever reads `ready` connects at once.
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	check(err)
	fmt.Println("ready")
	check(http.Serve(listener, s))
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

func (s *server) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	if in.URL.Path == "/suite/token" {
		s.setToken(in)
		return
	}
	isJSON := strings.HasPrefix(in.URL.Path, "/storage/") || strings.HasPrefix(in.URL.Path, "/upload/")
	if !s.isLetIn(in) {
		if !isJSON {
			refuse(out, http.StatusUnauthorized, "AuthenticationRequired")
			return
		}
		out.Header().Set("Content-Type", "application/json; charset=UTF-8")
		out.WriteHeader(http.StatusUnauthorized)
		// Whoever asked may be gone.
		_, _ = out.Write([]byte(`{"error":{"code":401,"message":"Invalid Credentials","errors":[{"reason":"authError"}]}}`))
		return
	}
	query := in.URL.Query()
	if isJSON && in.Method == "GET" && query.Has("ifGenerationMatch") {
		s.onCondition(out, in, query.Get("ifGenerationMatch"))
		return
	}
	if isJSON && query.Has("ifGenerationMatch") {
		s.put(out, in)
		return
	}
	if isJSON || !(query.Has("uploads") || query.Has("uploadId")) {
		s.fake.ServeHTTP(out, in)
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(in.URL.Path, "/"), "/")
	body, err := io.ReadAll(http.MaxBytesReader(out, in.Body, bodyBytesMax))
	if err != nil {
		refuse(out, http.StatusBadRequest, "IncompleteBody")
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.inParts(out, in.Method, query, bucket, key, body)
}

// An object as long as it has this generation.
func (s *server) onCondition(out http.ResponseWriter, in *http.Request, generation string) {
	found := httptest.NewRecorder()
	s.fake.ServeHTTP(found, in)
	if found.Code < 300 && found.Header().Get("X-Goog-Generation") != generation {
		found = notMet()
	}
	give(out, found)
}

// A put on a condition.
func (s *server) put(out http.ResponseWriter, in *http.Request) {
	answer := httptest.NewRecorder()
	s.fake.ServeHTTP(answer, in)
	if answer.Code == http.StatusPreconditionFailed {
		answer = notMet()
	}
	give(out, answer)
}

// What the service says of a condition that is not kept.
func notMet() *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	answer.Header().Set("Content-Type", "application/json; charset=UTF-8")
	answer.WriteHeader(http.StatusPreconditionFailed)
	_, _ = answer.Write([]byte(`{"error":{"code":412,"message":"The generation is another.","errors":[{"reason":"conditionNotMet"}]}}`))
	return answer
}

func give(out http.ResponseWriter, found *httptest.ResponseRecorder) {
	for name, values := range found.Header() {
		out.Header()[name] = values
	}
	out.WriteHeader(found.Code)
	_, _ = out.Write(found.Body.Bytes())
}

// Another token, for calls from now on.
func (s *server) setToken(in *http.Request) {
	body, err := io.ReadAll(io.LimitReader(in.Body, bodyBytesMax))
	if err != nil {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.token = string(body)
}

func (s *server) isLetIn(in *http.Request) bool {
	token, isBearer := strings.CutPrefix(in.Header.Get("Authorization"), "Bearer ")
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.token == anybody || isBearer && token == s.token
}

func refuse(out http.ResponseWriter, status int, code string) {
	out.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	out.WriteHeader(status)
	fmt.Fprintf(out, "<?xml version='1.0' encoding='UTF-8'?><Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func answer(out http.ResponseWriter, document any) {
	out.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	_ = xml.NewEncoder(out).Encode(document)
}

// Uploads in parts: begun, listed, sent, completed and given up.
func (s *server) inParts(out http.ResponseWriter, method string, query url.Values, bucket, key string, body []byte) {
	id := query.Get("uploadId")
	found := s.uploads[id]
	isOther := found == nil || found.bucket != bucket || found.key != key
	switch {
	case method == "POST" && query.Has("uploads"):
		s.next++
		id = fmt.Sprintf("upload-%d", s.next)
		s.uploads[id] = &upload{bucket: bucket, key: key, parts: map[int][]byte{}}
		answer(out, struct {
			XMLName               xml.Name `xml:"InitiateMultipartUploadResult"`
			Bucket, Key, UploadId string
		}{Bucket: bucket, Key: key, UploadId: id})
	case method == "GET" && query.Has("uploads"):
		s.list(out, bucket, query.Get("prefix"))
	case isOther:
		refuse(out, http.StatusNotFound, "NoSuchUpload")
	case method == "PUT":
		number, err := strconv.Atoi(query.Get("partNumber"))
		if err != nil || number < 1 || number > 10_000 {
			refuse(out, http.StatusBadRequest, "InvalidArgument")
			return
		}
		found.parts[number] = body
		out.Header().Set("ETag", tagOf(body))
	case method == "POST":
		s.complete(out, id, found, body)
	case method == "DELETE":
		delete(s.uploads, id)
		out.WriteHeader(http.StatusNoContent)
	default:
		refuse(out, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

func tagOf(part []byte) string {
	hash := md5.Sum(part)
	return `"` + hex.EncodeToString(hash[:]) + `"`
}

func (s *server) list(out http.ResponseWriter, bucket, prefix string) {
	type listed struct{ Key, UploadId string }
	all := []listed{}
	for id, found := range s.uploads {
		if found.bucket == bucket && strings.HasPrefix(found.key, prefix) {
			all = append(all, listed{found.key, id})
		}
	}
	sort.Slice(all, func(one, other int) bool {
		return all[one].Key+"\x00"+all[one].UploadId < all[other].Key+"\x00"+all[other].UploadId
	})
	answer(out, struct {
		XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
		Bucket      string
		Upload      []listed
		IsTruncated bool
	}{Bucket: bucket, Upload: all})
}

// Puts the parts that are named, in their order, as one object.
func (s *server) complete(out http.ResponseWriter, id string, found *upload, body []byte) {
	var named struct {
		XMLName xml.Name `xml:"CompleteMultipartUpload"`
		Part    []struct {
			PartNumber int
			ETag       string
		}
	}
	if xml.Unmarshal(body, &named) != nil || len(named.Part) == 0 {
		refuse(out, http.StatusBadRequest, "MalformedXML")
		return
	}
	var whole bytes.Buffer
	last := 0
	for index, part := range named.Part {
		sent, isSent := found.parts[part.PartNumber]
		if !isSent || part.ETag != tagOf(sent) {
			refuse(out, http.StatusBadRequest, "InvalidPart")
			return
		}
		if part.PartNumber <= last {
			refuse(out, http.StatusBadRequest, "InvalidPartOrder")
			return
		}
		if index+1 < len(named.Part) && len(sent) < partBytesMin {
			refuse(out, http.StatusBadRequest, "EntityTooSmall")
			return
		}
		last = part.PartNumber
		whole.Write(sent)
	}
	place := "/upload/storage/v1/b/" + url.PathEscape(found.bucket) + "/o?uploadType=media&name=" + url.QueryEscape(found.key)
	put := httptest.NewRequest("POST", place, &whole)
	put.Header.Set("Content-Type", "application/octet-stream")
	done := httptest.NewRecorder()
	s.fake.ServeHTTP(done, put)
	if done.Code != http.StatusOK {
		refuse(out, done.Code, "NoSuchBucket")
		return
	}
	delete(s.uploads, id)
	answer(out, struct {
		XMLName     xml.Name `xml:"CompleteMultipartUploadResult"`
		Bucket, Key string
	}{Bucket: found.bucket, Key: found.key})
}
