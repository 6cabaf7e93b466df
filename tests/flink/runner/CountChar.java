// The function that the Nexmark queries declare by its class: how often a character is in a text.
//
// Flink loads it from the runner's class path; on the node it is built in (`sql::functions::user`).

package com.github.nexmark.flink.udf;

import java.nio.charset.StandardCharsets;
import org.apache.flink.table.functions.ScalarFunction;

public class CountChar extends ScalarFunction {
    public long eval(String text, String character) {
        if (text == null) {
            return 0;
        }
        byte wanted = (byte) character.charAt(0);
        long count = 0;
        for (byte own : text.getBytes(StandardCharsets.UTF_8)) {
            if (own == wanted) {
                count++;
            }
        }
        return count;
    }
}
