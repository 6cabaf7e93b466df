// A server of MongoDB's protocol as a plain process: mongo-java-server on its H2 storage: `Server FOLDER PORT`.
//
// What that server does not have stands here: users (SCRAM-SHA-256, those of the file FOLDER/users, lines of `user:password`
// read at each log-in), what `hello` says of a replica set, and the changes of a collection as a replica set tells them:
// namespaces, resume tokens, times, `replace`, `drop` and `invalidate`, and a getMore that waits. What was written lies in the
// file before it is acknowledged, so that the process may be killed.

import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.AbstractCursor;
import de.bwaldvogel.mongo.backend.Cursor;
import de.bwaldvogel.mongo.backend.aggregation.Aggregation;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.BinData;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.oplog.Oplog;
import io.netty.channel.Channel;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;
import org.h2.mvstore.MVMap;
import org.h2.mvstore.MVStore;

public class Server extends H2Backend {
    static final Set<String> WITHOUT_LOGIN = Set.of("hello", "ismaster", "isMaster", "saslStart", "saslContinue", "ping", "buildInfo");
    static final Set<String> WRITES = Set.of(
        "insert", "update", "delete", "findAndModify", "create", "createIndexes", "drop", "dropDatabase", "dropIndexes");
    static final Set<String> UNKNOWN_TYPES = Set.of(
        "undefined", "symbol", "dbPointer", "javascript", "javascriptWithScope", "regex", "timestamp", "minKey", "maxKey");
    static final int ROUNDS = 4096;
    static final int BATCH = 1000;

    final Path folder;
    final int port;
    final SecureRandom random = new SecureRandom();
    final Map<Channel, Login> logins = new ConcurrentHashMap<>();
    final Set<Channel> known = ConcurrentHashMap.newKeySet();
    /** By their times, which grow. */
    final MVMap<Long, Document> changes;
    /** Under `forgotten`, the time before which changes are not known any more. */
    final MVMap<String, Long> marks;

    Server(Path folder, int port) {
        // A document and its entry in the index lie in two maps: nothing goes to the file in the midst of a command.
        super(new MVStore.Builder().fileName(folder.resolve("data.mv").toString()).autoCommitDisabled().open());
        this.folder = folder;
        this.port = port;
        changes = getMvStore().openMap("suite.changes");
        marks = getMvStore().openMap("suite.marks");
        version(new Version());
        oplog = new Changes();
    }

    /** A replica set of one, that keeps what it tells. */
    static class Version implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }

    static class Login {
        String user;
        String first;
        String challenge;
        String nonce;
        byte[] salt;
        boolean done;
    }

    // Commands.

    @Override
    public Document handleCommand(Channel channel, String database, String command, Document query) {
        if (!WITHOUT_LOGIN.contains(command) && !known.contains(channel)) {
            throw new MongoServerError(13, "Unauthorized", "command " + command + " requires authentication");
        }
        if (command.equals("find")) {
            query.put("filter", known((Document) query.getOrDefault("filter", new Document())));
        }
        Document answer;
        switch (command) {
            case "hello":
            case "ismaster":
            case "isMaster":
                answer = hello(channel, database, query);
                break;
            case "saslStart":
                return begin(channel, query);
            case "saslContinue":
                return goOn(channel, query);
            case "suiteForget":
                marks.put("forgotten", changes.isEmpty() ? 0 : changes.lastKey());
                commit();
                answer = new Document("ok", 1.0);
                break;
            default:
                answer = WRITES.contains(command)
                    ? written(channel, database, command, query) : super.handleCommand(channel, database, command, query);
        }
        if (command.equals("aggregate")) {
            Document cursor = (Document) answer.get("cursor");
            if (cursor != null && of(cursor.get("id")) instanceof Stream) {
                cursor.put("postBatchResumeToken", token(((Stream) of(cursor.get("id"))).at));
            }
        }
        answer.put("operationTime", new BsonTimestamp(changes.isEmpty() ? 1L << 32 : changes.lastKey()));
        return answer;
    }

    /** One after the other, so that none is in the midst of its work when another one is committed. */
    Document written(Channel channel, String database, String command, Document query) {
        synchronized (marks) {
            try {
                return super.handleCommand(channel, database, command, query);
            } finally {
                commit();
            }
        }
    }

    /** Without the types that no value has here, and whose names the server does not know. */
    static Document known(Document filter) {
        Document known = new Document();
        for (Map.Entry<String, Object> entry : filter.entrySet()) {
            Object value = entry.getValue();
            if (value instanceof Document) {
                value = known((Document) value);
            } else if (entry.getKey().equals("$or")) {
                List<Document> cases = new ArrayList<>();
                ((Collection<?>) value).forEach(one -> cases.add(known((Document) one)));
                value = cases;
            } else if (entry.getKey().equals("$type") && value instanceof Collection) {
                List<Object> types = new ArrayList<>((Collection<?>) value);
                types.removeAll(UNKNOWN_TYPES);
                value = types;
            }
            known.put(entry.getKey(), value);
        }
        return known;
    }

    Document hello(Channel channel, String database, Document query) {
        Document answer = super.handleCommand(channel, database, "ismaster", query);
        String here = "127.0.0.1:" + port;
        answer.put("helloOk", true);
        answer.put("isWritablePrimary", true);
        answer.put("setName", "suite");
        answer.put("hosts", List.of(here));
        answer.put("primary", here);
        answer.put("me", here);
        if (query.get("saslSupportedMechs") != null) {
            answer.put("saslSupportedMechs", List.of("SCRAM-SHA-256"));
        }
        return answer;
    }

    Object of(Object id) {
        try {
            return getCursorRegistry().getCursor(((Number) id).longValue());
        } catch (RuntimeException unknown) {
            return null;
        }
    }

    @Override
    protected Document handleGetMore(String database, String command, Document query) {
        Object cursor = of(query.get(command));
        if (!(cursor instanceof Stream)) {
            return super.handleGetMore(database, command, query);
        }
        Stream stream = (Stream) cursor;
        long until = System.nanoTime() + ((Number) query.getOrDefault("maxTimeMS", 1000)).longValue() * 1_000_000;
        List<Document> batch = stream.takeDocuments(((Number) query.getOrDefault("batchSize", 0)).intValue());
        while (batch.isEmpty() && System.nanoTime() < until) {
            try {
                Thread.sleep(10);
            } catch (InterruptedException ended) {
                break;
            }
            batch = stream.takeDocuments(0);
        }
        if (stream.ended) {
            getCursorRegistry().remove(stream);
        }
        Document inside = new Document("nextBatch", batch);
        inside.put("id", stream.ended ? 0L : stream.getId());
        inside.put("ns", stream.namespace);
        inside.put("postBatchResumeToken", token(stream.at));
        Document answer = new Document("cursor", inside);
        answer.put("ok", 1.0);
        return answer;
    }

    @Override
    public void handleClose(Channel channel) {
        known.remove(channel);
        logins.remove(channel);
        super.handleClose(channel);
    }

    // Changes.

    static Document token(long time) {
        return new Document("_data", String.format("%016x", time));
    }

    static long time(Object token) {
        return Long.parseUnsignedLong((String) ((Document) token).get("_data"), 16);
    }

    class Changes implements Oplog {
        synchronized void add(String kind, String namespace, Object id, Document document) {
            long last = changes.isEmpty() ? 0 : changes.lastKey();
            Document change = new Document("kind", kind);
            change.put("namespace", namespace);
            change.put("id", id);
            change.put("document", document);
            changes.put(Math.max(last + 1, Instant.now().getEpochSecond() << 32 | 1), change);
        }

        @Override
        public void handleInsert(String namespace, List<Document> documents) {
            for (Document document : documents) {
                // One that was refused is none.
                if (find(namespace, document.get("_id")) != null) {
                    add("insert", namespace, document.get("_id"), document.cloneDeeply());
                }
            }
        }

        @Override
        public void handleUpdate(String namespace, Document selector, Document query, List<Object> ids) {
            boolean some = query.keySet().iterator().next().startsWith("$");
            for (Object id : ids) {
                add(some ? "update" : "replace", namespace, id, some ? null : find(namespace, id));
            }
        }

        @Override
        public void handleDelete(String namespace, Document query, List<Object> ids) {
            for (Object id : ids) {
                add("delete", namespace, id, null);
            }
        }

        @Override
        public void handleDropCollection(String namespace) {
            add("drop", namespace, null, null);
            add("invalidate", namespace, null, null);
        }

        @Override
        public Cursor createCursor(Document wanted, String namespace, Aggregation aggregation) {
            long at = changes.isEmpty() ? Instant.now().getEpochSecond() << 32 : changes.lastKey();
            if (wanted.get("resumeAfter") != null) {
                at = time(wanted.get("resumeAfter"));
                Document there = changes.get(at);
                if (there != null && there.get("kind").equals("invalidate")) {
                    throw new MongoServerError(260, "InvalidResumeToken", "Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate notification.");
                }
            } else if (wanted.get("startAtOperationTime") != null) {
                at = ((BsonTimestamp) wanted.get("startAtOperationTime")).getValue() - 1;
            }
            if (at < marks.getOrDefault("forgotten", 0L)) {
                throw new MongoServerError(286, "ChangeStreamHistoryLost", "Resume of change stream was not possible, as the resume point may no longer be in the oplog.");
            }
            Stream stream = new Stream(getCursorRegistry().generateCursorId(), namespace, at, "updateLookup".equals(wanted.get("fullDocument")));
            getCursorRegistry().add(stream);
            return stream;
        }
    }

    Document find(String namespace, Object id) {
        int point = namespace.indexOf('.');
        MongoCollection<?> collection = resolveDatabase(namespace.substring(0, point)).resolveCollection(namespace.substring(point + 1), false);
        if (collection == null) {
            return null;
        }
        Iterator<Document> found = collection.handleQuery(new Document("_id", id)).iterator();
        return found.hasNext() ? found.next().cloneDeeply() : null;
    }

    class Stream extends AbstractCursor {
        final String namespace;
        final boolean looksUp;
        long at;
        boolean ended;

        Stream(long id, String namespace, long at, boolean looksUp) {
            super(id);
            this.namespace = namespace;
            this.at = at;
            this.looksUp = looksUp;
        }

        @Override
        public boolean isEmpty() {
            return ended;
        }

        @Override
        public List<Document> takeDocuments(int wanted) {
            List<Document> taken = new ArrayList<>();
            Iterator<Long> times = changes.keyIterator(at + 1);
            int most = wanted > 0 ? Math.min(wanted, BATCH) : BATCH;
            while (times.hasNext() && taken.size() < most && !ended) {
                at = times.next();
                Document change = changes.get(at);
                if (namespace.equals(change.get("namespace"))) {
                    taken.add(event(change));
                }
            }
            return taken;
        }

        Document event(Document change) {
            String kind = (String) change.get("kind");
            Document event = new Document("_id", token(at));
            event.put("operationType", kind);
            event.put("clusterTime", new BsonTimestamp(at));
            event.put("wallTime", Instant.ofEpochSecond(at >>> 32));
            ended = kind.equals("invalidate");
            if (ended) {
                return event;
            }
            int point = namespace.indexOf('.');
            Document place = new Document("db", namespace.substring(0, point));
            place.put("coll", namespace.substring(point + 1));
            event.put("ns", place);
            if (kind.equals("drop")) {
                return event;
            }
            event.put("documentKey", new Document("_id", change.get("id")));
            if (kind.equals("update") && looksUp) {
                event.put("fullDocument", find(namespace, change.get("id")));
            } else if (change.get("document") != null) {
                event.put("fullDocument", change.get("document"));
            }
            return event;
        }
    }

    // RFC 5802, the server's side.

    Document begin(Channel channel, Document query) {
        if (!"SCRAM-SHA-256".equals(query.get("mechanism"))) {
            throw new MongoServerError(334, "MechanismUnavailable", "Unsupported mechanism " + query.get("mechanism"));
        }
        Login login = new Login();
        String message = text(query.get("payload"));
        login.first = message.substring(message.indexOf(",,") + 2);
        Map<String, String> parts = parts(login.first);
        login.user = parts.get("n").replace("=2C", ",").replace("=3D", "=");
        login.nonce = parts.get("r") + Base64.getEncoder().encodeToString(drawn(18));
        login.salt = drawn(28);
        login.challenge = "r=" + login.nonce + ",s=" + Base64.getEncoder().encodeToString(login.salt) + ",i=" + ROUNDS;
        logins.put(channel, login);
        return answer(login.challenge, false);
    }

    Document goOn(Channel channel, Document query) {
        Login login = logins.get(channel);
        MongoServerError refused = new MongoServerError(18, "AuthenticationFailed", "Authentication failed.");
        if (login == null) {
            throw refused;
        }
        if (login.done) {
            return answer("", true);
        }
        String message = text(query.get("payload"));
        Map<String, String> parts = parts(message);
        String password = password(login.user);
        if (password == null || !login.nonce.equals(parts.get("r"))) {
            throw refused;
        }
        try {
            PBEKeySpec spec = new PBEKeySpec(password.toCharArray(), login.salt, ROUNDS, 256);
            byte[] salted = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256").generateSecret(spec).getEncoded();
            String signed = login.first + "," + login.challenge + "," + message.substring(0, message.lastIndexOf(",p="));
            byte[] clientKey = hmac(salted, "Client Key");
            byte[] stored = MessageDigest.getInstance("SHA-256").digest(clientKey);
            byte[] proof = hmac(stored, signed);
            for (int i = 0; i < proof.length; i++) {
                proof[i] ^= clientKey[i];
            }
            if (!MessageDigest.isEqual(proof, Base64.getDecoder().decode(parts.get("p")))) {
                throw refused;
            }
            login.done = true;
            known.add(channel);
            String signature = Base64.getEncoder().encodeToString(hmac(hmac(salted, "Server Key"), signed));
            return answer("v=" + signature, false);
        } catch (java.security.GeneralSecurityException never) {
            throw new IllegalStateException(never);
        }
    }

    String password(String user) {
        try {
            for (String line : Files.readAllLines(folder.resolve("users"))) {
                if (line.startsWith(user + ":")) {
                    return line.substring(user.length() + 1);
                }
            }
            return null;
        } catch (java.io.IOException error) {
            throw new IllegalStateException(error);
        }
    }

    byte[] drawn(int count) {
        byte[] bytes = new byte[count];
        random.nextBytes(bytes);
        return bytes;
    }

    static Document answer(String payload, boolean done) {
        Document answer = new Document("conversationId", 1);
        answer.put("done", done);
        answer.put("payload", new BinData(payload.getBytes(StandardCharsets.UTF_8)));
        answer.put("ok", 1.0);
        return answer;
    }

    static String text(Object payload) {
        return new String(((BinData) payload).getData(), StandardCharsets.UTF_8);
    }

    static Map<String, String> parts(String message) {
        Map<String, String> parts = new HashMap<>();
        for (String part : message.split(",")) {
            if (part.length() > 1) {
                parts.put(part.substring(0, 1), part.substring(2));
            }
        }
        return parts;
    }

    static byte[] hmac(byte[] key, String text) throws java.security.GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        MongoServer server = new MongoServer(new Server(Path.of(arguments[0]), port));
        // A getMore that waits keeps its thread.
        server.bind(new InetSocketAddress("127.0.0.1", port), 1, 64);
        System.out.println("the server listens");
        new CountDownLatch(1).await();
    }
}
