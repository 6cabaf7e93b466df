// A node of OpenSearch as a plain process, on the jars of Maven Central: `Server FOLDER PORT TRANSPORT-PORT`.
//
// The distribution's plugin for users is not among those jars. In its place every request has to name a user of the file
// FOLDER/users: lines of `user:password`, read for each request anew.

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.function.UnaryOperator;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.util.concurrent.ThreadContext;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.ActionPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.rest.BytesRestResponse;
import org.opensearch.rest.RestHandler;

public class Server {
    static Path folder;

    /** Lets in who names a user of the file. */
    public static class Users extends Plugin implements ActionPlugin {
        @Override
        public UnaryOperator<RestHandler> getRestHandlerWrapper(ThreadContext context) {
            return handler -> (request, channel, client) -> {
                String given = request.header("Authorization");
                boolean known = false;
                for (String user : Files.readAllLines(folder.resolve("users"))) {
                    byte[] bytes = user.getBytes(StandardCharsets.UTF_8);
                    known |= ("Basic " + Base64.getEncoder().encodeToString(bytes)).equals(given);
                }
                if (known) {
                    handler.handleRequest(request, channel, client);
                } else {
                    channel.sendResponse(new BytesRestResponse(RestStatus.UNAUTHORIZED, "wrong user or password"));
                }
            };
        }
    }

    static class Local extends Node {
        Local(Settings settings, List<Class<? extends Plugin>> plugins) {
            super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "local"), plugins, false);
        }
    }

    public static void main(String[] arguments) throws Exception {
        folder = Path.of(arguments[0]).toAbsolutePath();
        Settings settings = Settings.builder()
            .put("cluster.name", "tests")
            .put("node.name", "local")
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", arguments[1])
            .put("transport.port", arguments[2])
            .put("transport.type", "netty4")
            .put("http.type", "netty4")
            .put("path.home", folder.toString())
            // How full the disk of the machine is does not matter here.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        List<Class<? extends Plugin>> plugins = List.of(
            org.opensearch.transport.Netty4Plugin.class,
            org.opensearch.ingest.common.IngestCommonPlugin.class,
            org.opensearch.painless.PainlessPlugin.class,
            Users.class
        );
        Local node = new Local(settings, plugins);
        node.start();
        // It listens before it knows again what it has.
        boolean late = node.client().admin().cluster().prepareHealth().setWaitForYellowStatus().setTimeout("240s").get().isTimedOut();
        if (late) {
            throw new IllegalStateException("the indices do not come back");
        }
        System.out.println("OpenSearch listens");
        new CountDownLatch(1).await();
    }
}
