// Evaluates many expressions on Apache Flink in one process and tells the type and the value of each.
//
// How: `java -cp FLINK_JARS FlinkEval`, commands on the standard input, one a line, answered by one line each:
// `expressions IN OUT` reads a file of expressions and writes `expression => TYPE => value` for each. Expressions are
// planned one by one, which gives their types, and run many in one query; a query that fails is halved until the
// expression that fails stands alone. `statements DATA IN OUT` reads a script and writes for each of its queries the
// columns and the net rows, which are what its changes leave; DATA is the folder of the inputs, with what is declared
// for all scripts. All queries run on one small cluster inside this process.
//
// The literals of an expression are put behind a function that the planner cannot see through, so that generated code
// computes it as it would over columns, and not the planner. Where a literal must stand, the expression runs as it is.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.Period;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.InputTypeStrategies;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.BinaryType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.MultisetType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.TimeType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.apache.flink.util.CloseableIterator;

public class FlinkEval {
    private static final Pattern SET =
            Pattern.compile("SET\\s+'([^']+)'\\s*=\\s*'([^']*)'\\s*;?", Pattern.CASE_INSENSITIVE);
    private static final Pattern QUERY = Pattern.compile("^(\\(|(SELECT|WITH|VALUES)\\b)", Pattern.CASE_INSENSITIVE);
    private static final int BATCH = 24;
    /** Most of the time of a small query is waiting. */
    private static final int THREADS = 6;

    private final Configuration cluster;
    private final ExecutorService pool = Executors.newFixedThreadPool(THREADS);

    private FlinkEval(Configuration cluster) {
        this.cluster = cluster;
    }

    public static void main(String[] arguments) throws Exception {
        // What else writes to the standard output is no answer: Flink prints generated code that does not compile, and
        // the JVM has warnings of its own, so that answers have a mark.
        PrintStream answers = System.out;
        System.setOut(System.err);
        Configuration configuration = new Configuration();
        configuration.setString("rest.port", "0");
        configuration.setString("rest.bind-port", "0");
        configuration.setString("rest.address", "localhost");
        configuration.setString("rest.bind-address", "localhost");
        configuration.setString("taskmanager.memory.managed.size", "128m");
        configuration.setString("taskmanager.memory.network.min", "64m");
        configuration.setString("taskmanager.memory.network.max", "64m");
        try (MiniCluster mini = new MiniCluster(new MiniClusterConfiguration.Builder()
                .setConfiguration(configuration).setNumTaskManagers(1).setNumSlotsPerTaskManager(16).build())) {
            mini.start();
            Configuration remote = new Configuration();
            remote.setString("execution.target", "remote");
            remote.setString("rest.address", mini.getRestAddress().get().getHost());
            remote.setString("rest.port", Integer.toString(mini.getRestAddress().get().getPort()));
            remote.setString("parallelism.default", "1");
            remote.setString("restart-strategy.type", "none");
            FlinkEval eval = new FlinkEval(remote);
            BufferedReader commands =
                    new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = commands.readLine(); line != null; line = commands.readLine()) {
                String[] words = line.trim().split(" ");
                String answer;
                try {
                    answer = switch (words[0]) {
                        case "expressions" -> eval.expressions(Path.of(words[1]), Path.of(words[2]));
                        case "statements" -> eval.statements(Path.of(words[1]), Path.of(words[2]), Path.of(words[3]));
                        default -> "error: no command " + words[0];
                    };
                } catch (Exception error) {
                    answer = "error: " + said(error);
                }
                answers.println("ANSWER " + answer);
                answers.flush();
            }
        }
        // Threads of the cluster's clients do not hold the process up.
        System.exit(0);
    }

    /** A new environment, so that no file sees what another one set. */
    TableEnvironment environment(Map<String, String> settings) {
        Configuration configuration = new Configuration(cluster);
        configuration.setString("table.local-time-zone", "UTC");
        settings.forEach(configuration::setString);
        TableEnvironment tables = TableEnvironment.create(
                EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
        tables.createTemporarySystemFunction("opaque", Opaque.class);
        return tables;
    }

    private String expressions(Path in, Path out) throws Exception {
        long start = System.nanoTime();
        Map<String, String> settings = new LinkedHashMap<>();
        List<String> lines = Files.readAllLines(in);
        List<Expression> pending = new ArrayList<>();
        StringBuilder text = new StringBuilder();
        List<Expression> all = new ArrayList<>();
        for (String line : lines) {
            String trimmed = line.strip();
            Matcher set = SET.matcher(trimmed);
            if (trimmed.isEmpty() || trimmed.startsWith("#")) {
                continue;
            }
            if (set.matches()) {
                evaluate(settings, pending);
                pending.clear();
                settings.put(set.group(1), set.group(2));
                all.add(new Expression(trimmed, true));
                continue;
            }
            Expression expression = new Expression(trimmed, false);
            pending.add(expression);
            all.add(expression);
        }
        evaluate(settings, pending);
        int count = 0;
        for (Expression expression : all) {
            text.append(expression.text);
            if (!expression.isSetting) {
                text.append(" => ").append(expression.result());
                count++;
            }
            text.append('\n');
        }
        Files.writeString(out, text);
        return String.format(Locale.ROOT, "%d expressions, %.1f s", count, (System.nanoTime() - start) / 1e9);
    }

    private String statements(Path data, Path in, Path out) throws Exception {
        long start = System.nanoTime();
        List<String> declarations = new ArrayList<>();
        List<String> queries = new ArrayList<>();
        List<Future<String>> results = new ArrayList<>();
        // What is declared for all files stands beside the inputs.
        String script = Files.readString(data.resolve("declarations.sql")) + ";\n" + Files.readString(in);
        for (String statement : FlinkRun.split(script.replace("${data}", data.toString()))) {
            if (!QUERY.matcher(statement).find()) {
                declarations.add(statement);
                continue;
            }
            queries.add(statement);
            List<String> before = List.copyOf(declarations);
            results.add(pool.submit(() -> query(before, statement)));
        }
        StringBuilder text = new StringBuilder();
        for (int index = 0; index < queries.size(); index++) {
            text.append("== ").append(String.join(" ", queries.get(index).strip().split("\\s+"))).append('\n');
            text.append(results.get(index).get());
        }
        Files.writeString(out, text);
        return String.format(Locale.ROOT, "%d queries, %.1f s", queries.size(), (System.nanoTime() - start) / 1e9);
    }

    /** The columns and the net rows of a query, or its error. */
    private String query(List<String> declarations, String query) {
        TableEnvironment tables = declared(declarations);
        List<DataType> types;
        List<String> names;
        try {
            var schema = tables.sqlQuery(query).getResolvedSchema();
            types = schema.getColumnDataTypes();
            names = schema.getColumnNames();
        } catch (Throwable error) {
            return "error: plan: " + said(error) + "\n";
        }
        Map<String, Integer> counts = new TreeMap<>();
        try (CloseableIterator<Row> rows = tables.executeSql(query).collect()) {
            while (rows.hasNext()) {
                Row row = rows.next();
                List<String> cells = new ArrayList<>();
                for (int index = 0; index < types.size(); index++) {
                    cells.add(Values.show(row.getField(index), types.get(index).getLogicalType()));
                }
                boolean comes = row.getKind() == RowKind.INSERT || row.getKind() == RowKind.UPDATE_AFTER;
                counts.merge("(" + String.join(", ", cells) + ")", comes ? 1 : -1, Integer::sum);
            }
        } catch (Throwable error) {
            return "error: run: " + said(error) + "\n";
        }
        StringBuilder text = new StringBuilder("columns ");
        for (int index = 0; index < types.size(); index++) {
            String type = types.get(index).getLogicalType().asSummaryString()
                    .replace(" *ROWTIME*", "").replace(" *PROCTIME*", "");
            text.append(index == 0 ? "" : "\t").append(names.get(index)).append('|').append(type);
        }
        text.append('\n');
        counts.forEach((row, count) -> {
            if (count < 0) {
                // A changelog of Flink's that does not fold: told, so that nobody takes it for a result.
                text.append("unbalanced ").append(count).append(' ').append(row).append('\n');
            }
            for (int times = 0; times < count; times++) {
                text.append(row).append('\n');
            }
        });
        return text.toString();
    }

    /** The declarations of the last file, by thread: an environment serves one thread. */
    private final ThreadLocal<Map<List<String>, TableEnvironment>> declared = ThreadLocal.withInitial(HashMap::new);

    private TableEnvironment declared(List<String> declarations) {
        Map<List<String>, TableEnvironment> known = declared.get();
        if (known.size() > 4) {
            known.clear();
        }
        return known.computeIfAbsent(declarations, all -> {
            // Rows are late by the rows before them, not by the time that passes.
            TableEnvironment tables = environment(Map.of("pipeline.auto-watermark-interval", "0 ms"));
            for (String declaration : all) {
                Matcher set = SET.matcher(declaration);
                if (set.matches()) {
                    tables.getConfig().getConfiguration().setString(set.group(1), set.group(2));
                } else {
                    tables.executeSql(declaration);
                }
            }
            return tables;
        });
    }

    private static class Expression {
        final String text;
        final boolean isSetting;
        /** What runs in its place. */
        String run;
        LogicalType type;
        String value;
        String error;

        Expression(String text, boolean isSetting) {
            this.text = text;
            this.isSetting = isSetting;
        }

        String result() {
            return error != null ? error : type.asSummaryString() + " => " + value;
        }
    }

    private void evaluate(Map<String, String> settings, List<Expression> expressions) throws Exception {
        List<Future<?>> parts = new ArrayList<>();
        for (int from = 0; from < expressions.size(); from += BATCH) {
            List<Expression> part =
                    new ArrayList<>(expressions.subList(from, Math.min(expressions.size(), from + BATCH)));
            parts.add(pool.submit(() -> evaluatePart(environment(settings), part)));
        }
        for (Future<?> part : parts) {
            part.get();
        }
    }

    private void evaluatePart(TableEnvironment tables, List<Expression> expressions) {
        List<Expression> planned = new ArrayList<>();
        for (Expression expression : expressions) {
            try {
                expression.type = type(tables, expression.text);
            } catch (Throwable error) {
                expression.error = "error: plan: " + said(error);
                continue;
            }
            planned.add(expression);
            expression.run = expression.text;
            String behind = Literals.behindFunction(expression.text);
            if (!behind.equals(expression.text)) {
                try {
                    if (type(tables, behind).equals(expression.type)) {
                        expression.run = behind;
                    }
                } catch (Throwable error) {
                    // A literal must stand there.
                    continue;
                }
            }
        }
        run(tables, planned);
    }

    private static LogicalType type(TableEnvironment tables, String expression) {
        Table table = tables.sqlQuery("SELECT " + expression + "\n");
        var columns = table.getResolvedSchema().getColumnDataTypes();
        if (columns.size() != 1) {
            throw new IllegalArgumentException("not one expression");
        }
        return columns.get(0).getLogicalType();
    }

    private void run(TableEnvironment tables, List<Expression> batch) {
        if (batch.isEmpty()) {
            return;
        }
        StringBuilder query = new StringBuilder("SELECT ");
        for (int index = 0; index < batch.size(); index++) {
            query.append(index == 0 ? "" : ", ").append(batch.get(index).run).append(" AS c").append(index).append('\n');
        }
        try (CloseableIterator<Row> rows = tables.executeSql(query.toString()).collect()) {
            Row row = rows.next();
            for (int index = 0; index < batch.size(); index++) {
                Expression expression = batch.get(index);
                expression.value = Values.show(row.getField(index), expression.type);
            }
        } catch (Throwable error) {
            if (batch.size() > 1) {
                int half = batch.size() / 2;
                run(tables, batch.subList(0, half));
                run(tables, batch.subList(half, batch.size()));
                return;
            }
            Expression expression = batch.get(0);
            if (!expression.run.equals(expression.text)) {
                // Some literals are asked for only when code is generated.
                expression.run = expression.text;
                run(tables, batch);
                return;
            }
            String message = said(error);
            if (message.startsWith("Column 'c0' is NOT NULL")) {
                // The value is NULL although its type says NOT NULL; only the sink refuses it.
                expression.value = "NULL";
            } else {
                expression.error = "error: run: " + message;
            }
        }
    }

    /** The innermost message, in one line and not too long. */
    static String said(Throwable error) {
        Throwable cause = error;
        String message = null;
        while (cause != null) {
            if (cause.getMessage() != null && !cause.getMessage().isBlank()) {
                message = cause.getMessage();
            } else if (cause.getCause() == null) {
                message = cause.getClass().getSimpleName();
            }
            cause = cause.getCause();
        }
        String line = String.valueOf(message).strip().lines().findFirst().orElse("").strip();
        return line.length() > 140 ? line.substring(0, 140) + "…" : line;
    }

    /** Gives back its argument, which the planner does not know. */
    public static class Opaque extends ScalarFunction {
        public Object eval(Object value) {
            return value;
        }

        @Override
        public boolean isDeterministic() {
            return false;
        }

        @Override
        public TypeInference getTypeInference(DataTypeFactory factory) {
            return TypeInference.newBuilder()
                    .inputTypeStrategy(InputTypeStrategies.sequence(InputTypeStrategies.ANY))
                    .outputTypeStrategy(call -> Optional.of(call.getArgumentDataTypes().get(0)))
                    .build();
        }
    }

    /** Puts the literals of an expression behind the function that hides them. */
    static class Literals {
        private static final Pattern TOKEN = Pattern.compile(
                "(CAST\\s*\\(\\s*NULL\\s+AS\\s+[A-Z_]+(?:\\s*\\(\\s*\\d+(?:\\s*,\\s*\\d+)?\\s*\\))?\\s*\\))"
                        + "|((?:DATE|TIMESTAMP|TIME)\\s*'[^']*')"
                        + "|(INTERVAL\\s+[+-]?\\s*'[^']*'\\s*[A-Z]+(?:\\s*\\(\\d+\\))?(?:\\s+TO\\s+[A-Z]+)?)"
                        + "|((?:[A-Z_]+|\\s)\\(\\s*\\d+\\s*(?:,\\s*\\d+\\s*)?\\)(?=\\s*(?:\\)|,|NOT|>|$)))"
                        + "|([xX]?'(?:[^']|'')*')"
                        + "|([A-Za-z_][A-Za-z0-9_]*)"
                        + "|(\\d+(?:\\.\\d*)?(?:[eE][+-]?\\d+)?|\\.\\d+(?:[eE][+-]?\\d+)?)");
        private static final Pattern TYPE = Pattern.compile(
                "(?:CHAR|VARCHAR|BINARY|VARBINARY|DECIMAL|NUMERIC|DEC|TIME|TIMESTAMP|TIMESTAMP_LTZ|ZONE|FLOAT"
                        + "|RAW|BYTES|STRING)\\s*\\(.*", Pattern.CASE_INSENSITIVE | Pattern.DOTALL);

        static String behindFunction(String text) {
            StringBuilder hidden = new StringBuilder();
            Matcher token = TOKEN.matcher(text);
            int at = 0;
            while (token.find(at)) {
                hidden.append(text, at, token.start());
                String found = token.group();
                if (token.group(4) != null && !TYPE.matcher(found).matches()) {
                    // A call of a function with literals: its name passes, its arguments are looked at.
                    int open = found.indexOf('(');
                    hidden.append(found, 0, open);
                    at = token.start() + open;
                    hidden.append('(');
                    at++;
                    continue;
                }
                boolean isHidden = token.group(1) != null || token.group(2) != null || token.group(3) != null
                        || token.group(5) != null || token.group(7) != null;
                hidden.append(isHidden ? "opaque(" + found + ")" : found);
                at = token.end();
            }
            return hidden.append(text.substring(at)).toString();
        }
    }

    /** Values as text that shows everything: texts in quotes, bytes in hex, maps in the order of their texts. */
    static class Values {
        static String show(Object value, LogicalType type) {
            if (value == null) {
                return "NULL";
            }
            switch (type.getTypeRoot()) {
                case CHAR:
                case VARCHAR:
                    return quoted(value.toString());
                case BOOLEAN:
                    return value.toString().toUpperCase(Locale.ROOT);
                case DECIMAL:
                    return ((BigDecimal) value).toPlainString();
                case BINARY:
                case VARBINARY:
                    StringBuilder hex = new StringBuilder("x'");
                    for (byte one : (byte[]) value) {
                        hex.append(String.format("%02x", one));
                    }
                    return hex.append('\'').toString();
                case DATE:
                    return date((LocalDate) value);
                case TIME_WITHOUT_TIME_ZONE:
                    return time((LocalTime) value, ((TimeType) type).getPrecision());
                case TIMESTAMP_WITHOUT_TIME_ZONE:
                    return moment((LocalDateTime) value, LogicalTypeChecks.getPrecision(type));
                case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
                    LocalDateTime utc = LocalDateTime.ofInstant((Instant) value, ZoneOffset.UTC);
                    return moment(utc, LogicalTypeChecks.getPrecision(type)) + "Z";
                case INTERVAL_YEAR_MONTH:
                    long months = ((Period) value).toTotalMonths();
                    return String.format(Locale.ROOT, "%s%d-%02d", months < 0 ? "-" : "+",
                            Math.abs(months) / 12, Math.abs(months) % 12);
                case INTERVAL_DAY_TIME:
                    return interval((Duration) value);
                case ARRAY:
                    return array((Object[]) value, ((ArrayType) type).getElementType());
                case MAP:
                    return map((Map<?, ?>) value, ((MapType) type).getKeyType(), ((MapType) type).getValueType());
                case MULTISET:
                    return map((Map<?, ?>) value, ((MultisetType) type).getElementType(),
                            new org.apache.flink.table.types.logical.IntType());
                case ROW:
                    Row row = (Row) value;
                    List<String> fields = new ArrayList<>();
                    for (int index = 0; index < row.getArity(); index++) {
                        fields.add(show(row.getField(index), ((RowType) type).getTypeAt(index)));
                    }
                    return "(" + String.join(", ", fields) + ")";
                default:
                    return value.toString();
            }
        }

        private static String quoted(String text) {
            return "'" + text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0") + "'";
        }

        private static String array(Object[] values, LogicalType element) {
            List<String> shown = new ArrayList<>();
            for (Object value : values) {
                shown.add(show(value, element));
            }
            return "[" + String.join(", ", shown) + "]";
        }

        private static String map(Map<?, ?> map, LogicalType key, LogicalType value) {
            List<String> entries = new ArrayList<>();
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                entries.add(show(entry.getKey(), key) + "=" + show(entry.getValue(), value));
            }
            Collections.sort(entries);
            return "{" + String.join(", ", entries) + "}";
        }

        private static String date(LocalDate date) {
            return String.format(Locale.ROOT, "%04d-%02d-%02d", date.getYear(), date.getMonthValue(),
                    date.getDayOfMonth());
        }

        private static String time(LocalTime time, int precision) {
            String whole = String.format(Locale.ROOT, "%02d:%02d:%02d", time.getHour(), time.getMinute(),
                    time.getSecond());
            if (precision == 0) {
                return whole;
            }
            return whole + "." + String.format(Locale.ROOT, "%09d", time.getNano()).substring(0, precision);
        }

        private static String moment(LocalDateTime moment, int precision) {
            return date(moment.toLocalDate()) + " " + time(moment.toLocalTime(), precision);
        }

        private static String interval(Duration interval) {
            long millis = interval.toMillis();
            long rest = Math.abs(millis);
            return String.format(Locale.ROOT, "%s%d %02d:%02d:%02d.%03d", millis < 0 ? "-" : "+",
                    rest / 86_400_000, rest / 3_600_000 % 24, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
        }
    }
}
