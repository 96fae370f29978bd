/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_label.h"

#include "cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_CHARACTERS = 28 };

static bool distinct(const report_t *report) {
    for (int i = 0; i < report->count; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(report->runs[i].label, report->runs[j].label) == 0) return false;
    return true;
}

static void print_value(FILE *out, const json_t *value) {
    if (json_is_string(value)) fputs(json_string_value(value), out);
    else if (json_is_number(value)) fprintf(out, "%.6g", json_number_value(value));
}

/* Ways to tell runs apart, the shortest first. */
typedef enum naming { ALGORITHM, DIFFERENCES, LAST_PART, WHOLE_PATH, NUMBERED, NAMINGS } naming_t;

/* Whether another run by the same algorithm has another value of the setting. */
static bool differs(const report_t *report, const report_run_t *run, const char *key) {
    const json_t *algorithm = report_member(run, "algorithm"), *value = report_member(run, key);
    for (int i = 0; i < report->count; i++) {
        const json_t *other = report_member(&report->runs[i], key);
        if (algorithm && !json_equal(report_member(&report->runs[i], "algorithm"), algorithm))
            continue;
        if (other && !json_equal(other, value)) return true;
    }
    return false;
}

/* The settings in which a run differs from the others of its algorithm: "sgp, ring, seed 2". */
static void print_differences(FILE *out, const report_t *report, const report_run_t *run) {
    static const struct {
        const char *key, *name; /* name "": the value says it */
        bool of_gossip;
    } settings[] = {{"model", "", false},
                    {"graph", "", true},
                    {"peers", "peers ", true},
                    {"overlap", "overlap ", true},
                    {"rounds", "rounds ", true},
                    {"nodes", "nodes ", false},
                    {"batch_size", "batch ", false},
                    {"seed", "seed ", false}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        const json_t *value = report_member(run, settings[i].key);
        if (!value || !differs(report, run, settings[i].key)) continue;
        if (settings[i].of_gossip && !report_gossips(run)) continue;
        fprintf(out, ", %s", settings[i].name);
        print_value(out, value);
    }
}

static void print_label(FILE *out, const report_t *report, const report_run_t *run,
                        naming_t naming) {
    const char *end = run->directory + strlen(run->directory), *start;
    while (end > run->directory && end[-1] == '/') end--;
    for (start = end; start > run->directory && start[-1] != '/'; start--) continue;
    if (naming == NUMBERED) fprintf(out, "%d: ", (int)(run - report->runs) + 1);
    if (naming == LAST_PART) fprintf(out, "%.*s", (int)(end - start), start);
    else if (naming >= WHOLE_PATH) fputs(run->directory, out);
    else print_value(out, report_member(run, "algorithm"));
    if (naming == DIFFERENCES) print_differences(out, report, run);
}

static char *make_label(const report_t *report, const report_run_t *run, naming_t naming) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    print_label(out, report, run, naming);
    char *clean = fclose(out) == 0 && text ? text_clean(length ? text : "run") : NULL;
    char *label = clean ? text_shorten(clean, LABEL_CHARACTERS) : NULL;
    free(clean);
    free(text);
    return label;
}

bool report_label_runs(report_t *report) {
    for (naming_t naming = ALGORITHM; naming < NAMINGS; naming++) {
        for (int i = 0; i < report->count; i++) {
            free(report->runs[i].label);
            report->runs[i].label = make_label(report, &report->runs[i], naming);
            if (!report->runs[i].label || !report->runs[i].directory) return false;
        }
        if (distinct(report)) break;
    }
    return true;
}
