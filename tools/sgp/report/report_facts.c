/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report_facts.h"

#include "report/report_number.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

/* before and after surround the value; a value that equals `usual` is left out. */
typedef struct fact {
    const char *key, *before, *after;
    bool plural; /* appends "s" unless the value is 1 */
    bool large;  /* shortened: 25.6 M */
    bool of_gossip;
    const char *usual;
} fact_t;

static const fact_t facts[] = {
    {.key = "nodes", .after = " node", .plural = true},
    {.key = "workers_per_node", .after = " workers per node", .usual = "1"},
    {.key = "model"},
    {.key = "parameters", .after = " parameters", .large = true},
    {.key = "data"},
    {.key = "epochs", .after = " epoch", .plural = true},
    {.key = "batch_size", .before = "batch size "},
    {.key = "graph", .after = " graph", .of_gossip = true},
    {.key = "peers", .after = " peer", .plural = true, .of_gossip = true, .usual = "1"},
    {.key = "overlap", .before = "overlap ", .of_gossip = true, .usual = "0"},
    {.key = "rounds", .after = " rounds per step", .usual = "1"},
    {.key = "encoding", .usual = "float32"},
    {.key = "split", .before = "split ", .usual = "iid"},
    {.key = "clip_norm", .before = "gradients up to norm "},
    {.key = "seed", .before = "seed "},
};

enum { FACTS = sizeof facts / sizeof facts[0] };

static bool applies(const fact_t *fact, const report_run_t *run) {
    return !fact->of_gossip || report_gossips(run);
}

/* The value of all runs to which the fact applies; NULL: they differ, or one lacks it. */
static const json_t *shared(const report_t *report, const fact_t *fact) {
    const json_t *value = NULL;
    for (int i = 0; i < report->count; i++) {
        const report_run_t *run = &report->runs[i];
        const json_t *other = report_member(run, fact->key);
        if (!applies(fact, run)) continue;
        if (!other || (value && !json_equal(value, other))) return NULL;
        value = other;
    }
    return value;
}

/* Prints nothing for a value that is neither text nor a number. */
static void print_fact(FILE *out, const fact_t *fact, const json_t *value, const char *separator) {
    char number[NUMBER_TEXT], *clean = NULL;
    const char *text = number;
    if (json_is_string(value)) text = clean = text_clean(json_string_value(value));
    else if (fact->large && json_is_number(value)) number_short(json_number_value(value), number);
    else if (json_is_number(value))
        snprintf(number, sizeof number, "%.15g", json_number_value(value));
    else return;
    if (text && (!fact->usual || strcmp(text, fact->usual) != 0))
        fprintf(out, "%s%s%s%s%s", ftell(out) > 0 ? separator : "",
                fact->before ? fact->before : "", text, fact->after ? fact->after : "",
                fact->plural && strcmp(text, "1") != 0 ? "s" : "");
    free(clean);
}

/* of: the run whose own facts are printed; NULL: the shared ones. */
static char *print_facts(const report_t *report, const report_run_t *of, const char *separator) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    for (int i = 0; i < FACTS; i++) {
        const json_t *value = shared(report, &facts[i]);
        if (of) value = value || !applies(&facts[i], of) ? NULL : report_member(of, facts[i].key);
        if (value) print_fact(out, &facts[i], value, separator);
    }
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

char *report_facts_shared(const report_t *report, const char *separator) {
    return print_facts(report, NULL, separator);
}

char *report_facts_own(const report_t *report, const report_run_t *run, const char *separator) {
    return print_facts(report, run, separator);
}
