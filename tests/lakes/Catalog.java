package org.apache.iceberg.rest;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import org.apache.iceberg.CatalogProperties;
import org.apache.iceberg.catalog.Namespace;
import org.apache.iceberg.catalog.TableIdentifier;
import org.apache.iceberg.exceptions.AlreadyExistsException;
import org.apache.iceberg.exceptions.CommitFailedException;
import org.apache.iceberg.exceptions.NoSuchNamespaceException;
import org.apache.iceberg.exceptions.NoSuchTableException;
import org.apache.iceberg.exceptions.ValidationException;
import org.apache.iceberg.io.FileIO;
import org.apache.iceberg.io.InputFile;
import org.apache.iceberg.io.OutputFile;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.rest.requests.CreateNamespaceRequest;
import org.apache.iceberg.rest.requests.CreateTableRequest;
import org.apache.iceberg.rest.requests.UpdateTableRequest;

/**
 * A catalog of Iceberg's REST protocol: Iceberg's own handlers, over its own catalog in SQLite, on the paths that a writer asks for.
 *
 * <p>Catalog PORT FOLDER: tables lie below FOLDER/warehouse, and the file FOLDER/secret says which secret clients have. A token
 * holds for as long as the secret that it was given for. What it was told it knows when it is started again.
 */
public class Catalog {
  /** Files of this machine, without Hadoop. */
  public static class LocalIo implements FileIO {
    private static java.io.File file(String location) {
      return new java.io.File(location.replaceFirst("^file:(//)?", ""));
    }

    @Override
    public InputFile newInputFile(String location) {
      return new Named(org.apache.iceberg.Files.localInput(file(location)), location);
    }

    @Override
    public OutputFile newOutputFile(String location) {
      file(location).getParentFile().mkdirs();
      return org.apache.iceberg.Files.localOutput(file(location));
    }

    @Override
    public void deleteFile(String location) {
      file(location).delete();
    }
  }

  /** A file under the name that metadata have for it. */
  private record Named(InputFile file, String location) implements InputFile {
    @Override
    public long getLength() {
      return file.getLength();
    }

    @Override
    public org.apache.iceberg.io.SeekableInputStream newStream() {
      return file.newStream();
    }

    @Override
    public boolean exists() {
      return file.exists();
    }
  }

  private static final String CLIENT = "conformance";
  private final ObjectMapper mapper = RESTObjectMapper.mapper();
  private final JdbcCatalog catalog = new JdbcCatalog();
  private final Map<String, String> tokens = new ConcurrentHashMap<>();
  private final Path secret;

  private Catalog(Path folder) {
    secret = folder.resolve("secret");
    catalog.initialize(
        "suite",
        Map.of(
            CatalogProperties.URI, "jdbc:sqlite:" + folder.resolve("catalog.db"),
            // Two connections to one SQLite may lock each other out for good.
            CatalogProperties.CLIENT_POOL_SIZE, "1",
            CatalogProperties.WAREHOUSE_LOCATION, "file://" + folder.resolve("warehouse"),
            CatalogProperties.FILE_IO_IMPL, LocalIo.class.getName(),
            "jdbc.schema-version", "V1"));
  }

  public static void main(String[] arguments) throws Exception {
    Catalog served = new Catalog(Path.of(arguments[1]));
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 64);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext("/", served::answer);
    server.start();
    System.out.println("Catalog listens");
  }

  private void answer(HttpExchange exchange) {
    try (exchange) {
      byte[] body = exchange.getRequestBody().readAllBytes();
      int status = 200;
      String answer;
      try {
        Object said = said(exchange, new String(body, StandardCharsets.UTF_8));
        answer = said == null ? "" : mapper.writeValueAsString(said);
      } catch (Refused refused) {
        status = refused.status;
        answer = refused.getMessage();
      } catch (NoSuchTableException | NoSuchNamespaceException error) {
        status = 404;
        answer = told(error, status);
      } catch (AlreadyExistsException | CommitFailedException error) {
        status = 409;
        answer = told(error, status);
      } catch (ValidationException | IllegalArgumentException error) {
        status = 400;
        answer = told(error, status);
      } catch (Exception error) {
        status = 500;
        answer = told(error, status);
      }
      byte[] bytes = answer.getBytes(StandardCharsets.UTF_8);
      exchange.getResponseHeaders().set("Content-Type", "application/json");
      exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
      exchange.getResponseBody().write(bytes);
    } catch (java.io.IOException lost) {
      // Whoever asked is gone.
    }
  }

  private static class Refused extends Exception {
    final int status;

    Refused(int status, String message) {
      super(message);
      this.status = status;
    }
  }

  private String told(Exception error, int status) throws com.fasterxml.jackson.core.JsonProcessingException {
    Map<String, Object> inner =
        Map.of("message", String.valueOf(error.getMessage()), "type", error.getClass().getSimpleName(), "code", status);
    return new ObjectMapper().writeValueAsString(Map.of("error", inner));
  }

  private Object said(HttpExchange exchange, String body) throws Exception {
    String method = exchange.getRequestMethod();
    List<String> path = new ArrayList<>();
    for (String part : exchange.getRequestURI().getRawPath().substring(1).split("/")) {
      path.add(URLDecoder.decode(part, StandardCharsets.UTF_8));
    }
    if (path.equals(List.of("v1", "oauth", "tokens"))) {
      return token(body);
    }
    String shown = String.valueOf(exchange.getRequestHeaders().getFirst("Authorization"));
    String known = tokens.get(shown.replaceFirst("^Bearer ", ""));
    if (known == null || !known.equals(secret())) {
      throw new Refused(401, "{\"error\":{\"message\":\"the token does not hold\",\"type\":\"NotAuthorizedException\",\"code\":401}}");
    }
    if (path.equals(List.of("v1", "config"))) {
      return Map.of("defaults", Map.of(), "overrides", Map.of());
    }
    if (path.size() < 2 || !path.get(1).equals("namespaces")) {
      throw new Refused(404, "{\"error\":{\"message\":\"no such path\",\"type\":\"NotFound\",\"code\":404}}");
    }
    if (path.size() == 2) {
      return CatalogHandlers.createNamespace(catalog, mapper.readValue(body, CreateNamespaceRequest.class));
    }
    Namespace namespace = Namespace.of(path.get(2).split("\u001f"));
    if (path.size() == 3) {
      return CatalogHandlers.loadNamespace(catalog, namespace);
    }
    if (path.size() == 4) {
      return CatalogHandlers.createTable(catalog, namespace, mapper.readValue(body, CreateTableRequest.class));
    }
    TableIdentifier table = TableIdentifier.of(namespace, path.get(4));
    return method.equals("GET")
        ? CatalogHandlers.loadTable(catalog, table)
        : CatalogHandlers.updateTable(catalog, table, mapper.readValue(body, UpdateTableRequest.class));
  }

  private String secret() throws java.io.IOException {
    return Files.readString(secret).trim();
  }

  private Object token(String body) throws Exception {
    Map<String, String> form = new HashMap<>();
    for (String part : body.split("&")) {
      String[] pair = part.split("=", 2);
      form.put(pair[0], URLDecoder.decode(pair[1], StandardCharsets.UTF_8));
    }
    // A secret alone stands for the only client.
    if (!CLIENT.equals(form.getOrDefault("client_id", CLIENT)) || !secret().equals(form.get("client_secret"))) {
      throw new Refused(401, "{\"error\":\"invalid_client\",\"error_description\":\"the secret is another one\"}");
    }
    String token = UUID.randomUUID().toString();
    tokens.put(token, secret());
    return Map.of("access_token", token, "token_type", "bearer", "expires_in", 3600);
  }
}
