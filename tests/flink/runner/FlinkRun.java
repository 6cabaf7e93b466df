// Runs one SQL file on Apache Flink inside this process, statement by statement, as its SQL client would.
//
// How: `java -cp FLINK_JARS FlinkRun.java FILE [--bootstrap HOST:PORT] [--set KEY=VALUE]…`. The file is cut into
// statements outside quotes and comments; `SET` goes into the configuration; every `kafka` or `upsert-kafka`
// table without 'properties.bootstrap.servers' gets the address given. Each INSERT or statement set is awaited.
//
// Why not the SQL client: that wants a distribution's scripts and a cluster. One process with parallelism 1 gives
// the reference results with nothing to install but the jars, and prints what the `print` tables print.

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;

public class FlinkRun {
    private static final Pattern SET =
            Pattern.compile("SET\\s+'([^']+)'\\s*=\\s*'([^']*)'", Pattern.CASE_INSENSITIVE);
    private static final Pattern KAFKA_TABLE =
            Pattern.compile("'connector'\\s*=\\s*'(upsert-)?kafka'", Pattern.CASE_INSENSITIVE);
    private static final Pattern WITH = Pattern.compile("\\bWITH\\s*\\(", Pattern.CASE_INSENSITIVE);

    public static void main(String[] arguments) throws Exception {
        String file = null;
        String bootstrap = null;
        // Options fixed by the file's SET statements win over these.
        Configuration configuration = new Configuration();
        configuration.setString("parallelism.default", "1");
        configuration.setString("table.local-time-zone", "UTC");
        for (int index = 0; index < arguments.length; index++) {
            switch (arguments[index]) {
                case "--bootstrap" -> bootstrap = arguments[++index];
                case "--set" -> {
                    String[] pair = arguments[++index].split("=", 2);
                    configuration.setString(pair[0], pair[1]);
                }
                default -> file = arguments[index];
            }
        }
        if (file == null) {
            System.err.println("usage: FlinkRun FILE [--bootstrap HOST:PORT] [--set KEY=VALUE]");
            System.exit(2);
        }
        TableEnvironment tables = TableEnvironment.create(
                EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
        for (String statement : split(Files.readString(Path.of(file)))) {
            Matcher set = SET.matcher(statement);
            if (set.matches()) {
                tables.getConfig().getConfiguration().setString(set.group(1), set.group(2));
                continue;
            }
            long start = System.nanoTime();
            TableResult result = tables.executeSql(withBootstrap(statement, bootstrap));
            String head = statement.lines().findFirst().orElse("").trim();
            String upper = head.toUpperCase(Locale.ROOT);
            if (upper.startsWith("INSERT") || upper.startsWith("EXECUTE") || upper.startsWith("BEGIN")) {
                result.await();
                System.err.printf(Locale.ROOT, "%s: %.1f s%n", head, (System.nanoTime() - start) / 1e9);
            } else if (!upper.startsWith("CREATE")) {
                result.print();
            }
        }
    }

    /** Fills the cluster's address into a kafka table that names none. */
    private static String withBootstrap(String statement, String bootstrap) {
        if (bootstrap == null || !KAFKA_TABLE.matcher(statement).find()
                || statement.contains("'properties.bootstrap.servers'")) {
            return statement;
        }
        Matcher with = WITH.matcher(statement);
        int end = -1;
        while (with.find()) {
            end = with.end();
        }
        return statement.substring(0, end) + "\n  'properties.bootstrap.servers' = '" + bootstrap + "',"
                + statement.substring(end);
    }

    /** Cuts a script at its semicolons; comments are dropped, a statement set stays one statement. */
    static List<String> split(String script) {
        List<String> statements = new ArrayList<>();
        StringBuilder current = new StringBuilder();
        int index = 0;
        while (index < script.length()) {
            char character = script.charAt(index);
            if (script.startsWith("--", index)) {
                int end = script.indexOf('\n', index);
                index = end < 0 ? script.length() : end;
            } else if (script.startsWith("/*", index) && !script.startsWith("/*+", index)) {
                int end = script.indexOf("*/", index + 2);
                index = end < 0 ? script.length() : end + 2;
            } else if (character == '\'' || character == '`' || character == '"') {
                int end = script.indexOf(character, index + 1);
                end = end < 0 ? script.length() - 1 : end;
                current.append(script, index, end + 1);
                index = end + 1;
            } else if (character == ';') {
                index++;
                if (!isOpenStatementSet(current.toString())) {
                    add(statements, current);
                } else {
                    current.append(';');
                }
            } else {
                current.append(character);
                index++;
            }
        }
        add(statements, current);
        return statements;
    }

    private static boolean isOpenStatementSet(String text) {
        String upper = text.strip().toUpperCase(Locale.ROOT);
        boolean isSet = upper.startsWith("EXECUTE STATEMENT SET") || upper.startsWith("BEGIN STATEMENT SET");
        return isSet && !Pattern.compile("\\bEND$").matcher(upper).find();
    }

    private static void add(List<String> statements, StringBuilder current) {
        String statement = current.toString().strip();
        current.setLength(0);
        if (!statement.isEmpty()) {
            statements.add(statement);
        }
    }
}
