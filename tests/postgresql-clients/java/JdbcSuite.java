import java.sql.*;
import java.util.*;

/** The suite of pgJDBC: {@code JdbcSuite HOST:PORT}. The topic {@code flights} has three records. */
public final class JdbcSuite {
    private interface Check {
        void run(Connection connection) throws Exception;
    }

    private static void expect(Object actual, Object wanted) {
        if (!Objects.equals(actual, wanted)) {
            throw new AssertionError("got " + actual + ", wanted " + wanted);
        }
    }

    private static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(name));
        }
        return values;
    }

    private static void metadata(Connection connection) throws Exception {
        DatabaseMetaData data = connection.getMetaData();
        expect(data.getDatabaseProductName(), "PostgreSQL");
        expect(column(data.getTables(null, "topics", "%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("flights"));
        expect(column(data.getSchemas(), "TABLE_SCHEM").contains("topics"), true);
        List<String> columns = column(data.getColumns(null, "topics", "flights", "%"), "COLUMN_NAME");
        expect(columns.subList(0, 3), List.of("partition", "offset", "timestamp"));
        expect(column(data.getPrimaryKeys(null, "topics", "flights"), "COLUMN_NAME"), List.of("partition", "offset"));
        expect(column(data.getImportedKeys(null, "topics", "flights"), "FKCOLUMN_NAME"), List.of());
        data.getTypeInfo().close();
        data.getIndexInfo(null, "topics", "flights", false, false).close();
        data.getCatalogs().close();
    }

    private static void prepared(Connection connection) throws Exception {
        // From the fifth time on the driver prepares it at the server, and asks for binary values.
        try (PreparedStatement by = connection.prepareStatement(
                "SELECT \"offset\", timestamp, value_bytes FROM flights WHERE key = ? AND partition = ?")) {
            for (int time = 0; time < 12; time++) {
                by.setString(1, time % 2 == 0 ? "b" : "none");
                by.setInt(2, 0);
                try (ResultSet rows = by.executeQuery()) {
                    expect(rows.next(), time % 2 == 0);
                    if (time % 2 == 0) {
                        expect(rows.getLong(1), 1L);
                        expect(rows.getTimestamp(2) != null, true);
                        expect(rows.getBytes(3)[0], (byte) '{');
                    }
                }
            }
        }
        try (PreparedStatement since = connection.prepareStatement("SELECT count(*) FROM flights WHERE timestamp > ?")) {
            since.setTimestamp(1, new Timestamp(0));
            try (ResultSet rows = since.executeQuery()) {
                rows.next();
                expect(rows.getInt(1), 3);
            }
        }
    }

    private static void fetchSize(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(2);
            expect(column(statement.executeQuery("SELECT key FROM flights ORDER BY key"), "key"), List.of("a", "b", "c"));
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    private static void failures(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT nothing FROM flights");
            throw new AssertionError("it was not refused");
        } catch (SQLException error) {
            expect(error.getSQLState(), "42703");
        }
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            statement.executeQuery("SELECT count(*) FROM generate_series(1, 1000000000) a, generate_series(1, 1000000000) b");
            throw new AssertionError("it did not end");
        } catch (SQLException error) {
            expect(error.getSQLState(), "57014");
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("metadata", JdbcSuite::metadata);
        checks.put("prepared", JdbcSuite::prepared);
        checks.put("fetchSize", JdbcSuite::fetchSize);
        checks.put("failures", JdbcSuite::failures);
        int passed = 0;
        int failed = 0;
        for (Map.Entry<String, Check> check : checks.entrySet()) {
            try (Connection connection = DriverManager.getConnection(
                    "jdbc:postgresql://" + arguments[0] + "/shop", "ada", "")) {
                check.getValue().run(connection);
                passed++;
                System.out.println("ok " + check.getKey());
            } catch (Exception | AssertionError error) {
                failed++;
                System.out.println("FAILED " + check.getKey() + ": " + error);
                error.printStackTrace(System.out);
            }
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }
}
