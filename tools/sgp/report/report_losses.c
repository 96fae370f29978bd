/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_losses.h"

#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>

static void print_loss(FILE *out, const json_t *loss) {
    const char *reason = json_string_value(json_object_get(loss, "reason"));
    fprintf(out, "node %lld from step %lld on",
            (long long)json_integer_value(json_object_get(loss, "node")),
            (long long)json_integer_value(json_object_get(loss, "step")));
    const json_t *seconds = json_object_get(loss, "seconds");
    if (reason && json_is_number(seconds))
        fprintf(out, " (%s; the others waited %.2f s)", reason, json_number_value(seconds));
    else if (reason) fprintf(out, " (%s)", reason);
}

/* Of runs in which samples were missed. */
static void print_missed(FILE *out, const json_t *samples) {
    json_int_t missed = json_integer_value(json_object_get(samples, "missed"));
    if (missed > 0) fprintf(out, " No node took %lld samples.", (long long)missed);
}

static const char *separator(size_t i, size_t count) {
    return i + 1 < count ? ", " : " and ";
}

/* "Node 4 joined after step 120, and node 3 came back after step 150." */
static void print_joins(FILE *out, const json_t *joins, bool first) {
    size_t count = json_array_size(joins);
    for (size_t i = 0; i < count; i++) {
        const json_t *join = json_array_get(joins, i);
        fprintf(out, "%s%s %lld %s after step %lld",
                i       ? separator(i, count)
                : first ? ""
                        : " ",
                i ? "node" : "Node", (long long)json_integer_value(json_object_get(join, "node")),
                json_is_true(json_object_get(join, "rejoined")) ? "came back" : "joined",
                (long long)json_integer_value(json_object_get(join, "step")));
    }
    if (count > 0) fputc('.', out);
}

bool report_has_losses(const report_run_t *run) {
    return json_array_size(report_member(run, "losses")) +
               json_array_size(report_member(run, "joins")) >
           0;
}

char *report_losses(const report_run_t *run) {
    const json_t *losses = report_member(run, "losses");
    char *text = NULL, *clean;
    size_t length, count = json_array_size(losses);
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    for (size_t i = 0; i < count; i++) {
        fputs(i == 0 ? "Went on without " : separator(i, count), out);
        print_loss(out, json_array_get(losses, i));
    }
    if (count > 0) fputc('.', out);
    if (count > 0) print_missed(out, report_member(run, "samples"));
    print_joins(out, report_member(run, "joins"), count == 0);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    clean = text_clean(text);
    free(text);
    return clean;
}
