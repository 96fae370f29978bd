/* SPDX-License-Identifier: Apache-2.0 */
#include "data/division.h"

#include "base/logging.h"
#include "base/random.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* The random stream from which the division has a seed of its own; those of other users are in feed.c, pipeline.c and
 * loader.c. */
#define DIVISION_STREAM ((uint64_t)9 << 60)

/* Streams of that seed. Those of the classes are number 2 c (proportions) and 2 c + 1 (order). */
#define DEAL_STREAM ((uint64_t)1 << 63)

enum { GAMMA_TRIES = 1000 }; /* each is accepted with more than 0.95 */

/* ---- rules as text ---- */

/* text: what follows the colon. */
static bool parse_alpha(const char *text, double *alpha) {
    char *end;
    *alpha = strtod(text, &end);
    return end != text && *end == '\0' && *alpha >= DIVISION_LEAST_ALPHA &&
           *alpha <= DIVISION_MOST_ALPHA;
}

static bool parse_labels(const char *text, int *labels) {
    char *end;
    long value = strtol(text, &end, 10);
    *labels = value < 1 || value > INT32_MAX ? 0 : (int)value;
    return end != text && *end == '\0' && *labels > 0;
}

bool division_parse(const char *text, division_rule_t *rule) {
    division_rule_t found = {.kind = DIVISION_IID};
    bool good = false;
    if (strcmp(text, "iid") == 0) good = true;
    else if (strncmp(text, "dirichlet:", 10) == 0) {
        found.kind = DIVISION_DIRICHLET;
        good = parse_alpha(text + 10, &found.alpha);
    } else if (strncmp(text, "label:", 6) == 0) {
        found.kind = DIVISION_LABEL;
        good = parse_labels(text + 6, &found.labels);
    }
    if (good) *rule = found;
    return good;
}

const char *division_print(const division_rule_t *rule, char text[DIVISION_TEXT]) {
    if (rule->kind == DIVISION_LABEL) snprintf(text, DIVISION_TEXT, "label:%d", rule->labels);
    else if (rule->kind == DIVISION_DIRICHLET) {
        snprintf(text, DIVISION_TEXT, "dirichlet:%.15g", rule->alpha);
        if (strtod(text + 10, NULL) != rule->alpha)
            snprintf(text, DIVISION_TEXT, "dirichlet:%.17g", rule->alpha);
    } else strcpy(text, "iid");
    return text;
}

/* Conditions that every division has to meet. */
static sgp_status_t check(const division_rule_t *rule, int nodes, int classes, uint64_t count) {
    char text[DIVISION_TEXT];
    if (count < (uint64_t)nodes)
        return sgp_fail(SGP_ERR_INVALID,
                        "split is %s: %d nodes need as many training samples, and there are "
                        "%" PRIu64 ": iid works",
                        division_print(rule, text), nodes, count);
    if (rule->kind == DIVISION_LABEL && rule->labels > classes)
        return sgp_fail(SGP_ERR_INVALID,
                        "split is label:%d: must be label:1 to label:%d, the classes of the data",
                        rule->labels, classes);
    return SGP_OK;
}

sgp_status_t division_check(const division_rule_t *rule, int nodes, int classes, uint64_t count) {
    sgp_status_t status = check(rule, nodes, classes, count);
    if (status || rule->kind != DIVISION_LABEL || (int64_t)rule->labels * nodes >= classes)
        return status;
    return sgp_fail(SGP_ERR_INVALID,
                    "split is label:%d: %d node%s of %d class%s cannot have all %d classes: must "
                    "be label:%d at least",
                    rule->labels, nodes, nodes == 1 ? "" : "s", rule->labels,
                    rule->labels == 1 ? "" : "es", classes, (classes + nodes - 1) / nodes);
}

/* ---- random numbers ---- */

static void begin_stream(sgp_random_t *random, uint64_t seed, uint64_t stream) {
    sgp_random_init(random, seed, DIVISION_STREAM);
    sgp_random_init(random, sgp_random_u64(random), stream);
}

/* The logarithm of a gamma variate of shape a >= 1 (Marsaglia and Tsang 2000). */
static double log_gamma_variate(sgp_random_t *random, double a) {
    double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (int i = 0; i < GAMMA_TRIES; i++) {
        double x = sgp_random_normal(random), u = 1 - sgp_random_double(random);
        double v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return log(d * v);
    }
    return log(d);
}

/* Fills the proportions of a class over the nodes: (nodes), which add up to 1. In logarithms, since with a small alpha the
 * variates themselves are too small for a double. A variate of shape a is one of shape a + 1 times u^(1/a). */
static void draw_proportions(sgp_random_t *random, double alpha, int nodes, double *parts) {
    double most = -INFINITY, sum = 0;
    for (int v = 0; v < nodes; v++) {
        double boost = log(1 - sgp_random_double(random)) / alpha;
        parts[v] = log_gamma_variate(random, alpha + 1) + boost;
        most = fmax(most, parts[v]);
    }
    for (int v = 0; v < nodes; v++) sum += parts[v] = exp(parts[v] - most);
    for (int v = 0; v < nodes; v++) parts[v] /= sum;
}

/* ---- the table ---- */

static uint64_t *entry(const division_t *division, int node, int c) {
    return &division->counts[(size_t)node * (size_t)division->classes + (size_t)c];
}

/* sizes: (classes), of which those above 0 count. */
static int count_present(const uint64_t *sizes, int classes) {
    int present = 0;
    for (int c = 0; c < classes; c++) present += sizes[c] > 0;
    return present;
}

static sgp_status_t divide_by_dirichlet(division_t *division, const division_options_t *options,
                                        const uint64_t *sizes) {
    double *parts = calloc((size_t)division->nodes, sizeof *parts);
    if (!parts)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the parts of %d nodes", division->nodes);
    for (int c = 0; c < division->classes; c++) {
        sgp_random_t random;
        begin_stream(&random, options->seed, 2 * (uint64_t)c);
        draw_proportions(&random, options->rule.alpha, division->nodes, parts);
        double cumulated = 0;
        uint64_t begin = 0;
        for (int v = 0; v < division->nodes; v++) {
            cumulated += parts[v];
            uint64_t end = (uint64_t)(cumulated * (double)sizes[c]);
            if (end > sizes[c] || v + 1 == division->nodes) end = sizes[c];
            *entry(division, v, c) = end - begin;
            begin = end;
        }
    }
    free(parts);
    return SGP_OK;
}

/* Shuffles the pack, and moves the classes that the node has already to its end. held: (classes) the node that was
 * dealt the class last, plus 1. */
static void shuffle_pack(sgp_random_t *random, uint64_t *pack, int present, const int *held,
                         int node, uint64_t *room) {
    size_t first = 0, last = 0;
    sgp_random_shuffle_u64(random, pack, (size_t)present);
    for (int i = 0; i < present; i++) {
        if (held[pack[i]] == node + 1) room[last++] = pack[i];
        else pack[first++] = pack[i];
    }
    memcpy(pack + first, room, last * sizeof *pack);
}

/* Deals: marks the classes of each node with 1 in the table. memory: (2 classes), held: (classes) zeros. */
static void deal(division_t *division, const division_options_t *options, const uint64_t *sizes,
                 uint64_t *memory, int *held) {
    uint64_t *pack = memory, *room = memory + division->classes;
    int present = 0, next;
    sgp_random_t random;
    begin_stream(&random, options->seed, DEAL_STREAM);
    for (int c = 0; c < division->classes; c++)
        if (sizes[c] > 0) pack[present++] = (uint64_t)c;
    next = present;
    for (int v = 0; v < division->nodes; v++)
        for (int j = 0; j < options->rule.labels; j++, next++) {
            if (next == present) {
                shuffle_pack(&random, pack, present, held, v, room);
                next = 0;
            }
            held[pack[next]] = v + 1;
            *entry(division, v, (int)pack[next]) = 1;
        }
}

/* Replaces the marks by equal parts; the first (size mod holders) nodes have one more. A class may have been dealt to none. */
static void share_class(division_t *division, int class, uint64_t size) {
    uint64_t holders = 0, before = 0;
    for (int v = 0; v < division->nodes; v++) holders += *entry(division, v, class);
    for (int v = 0; v < division->nodes; v++) {
        if (*entry(division, v, class) == 0) continue;
        *entry(division, v, class) = size / holders + (before < size % holders);
        before++;
    }
}

static sgp_status_t divide_by_label(division_t *division, const division_options_t *options,
                                    const uint64_t *sizes) {
    size_t classes = (size_t)division->classes;
    int present = count_present(sizes, division->classes);
    sgp_status_t status = check(&options->rule, options->nodes, present, options->count);
    if (status) return status;
    uint64_t *memory = calloc(2 * classes, sizeof *memory);
    int *held = calloc(classes, sizeof *held);
    if (memory && held) {
        deal(division, options, sizes, memory, held);
        for (int c = 0; c < division->classes; c++) share_class(division, c, sizes[c]);
    } else status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a pack of %zu classes", classes);
    free(memory);
    free(held);
    return status;
}

/* One sample of the largest class of the node that has the most. totals: (nodes) */
static void give_one(division_t *division, uint64_t *totals, int node) {
    int rich = 0, class = 0;
    for (int v = 1; v < division->nodes; v++)
        if (totals[v] > totals[rich]) rich = v;
    for (int c = 1; c < division->classes; c++)
        if (*entry(division, rich, c) > *entry(division, rich, class)) class = c;
    --*entry(division, rich, class);
    ++*entry(division, node, class);
    totals[rich]--;
    totals[node]++;
}

static sgp_status_t give_to_empty(division_t *division) {
    uint64_t *totals = calloc((size_t)division->nodes, sizeof *totals);
    if (!totals)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the parts of %d nodes", division->nodes);
    for (int v = 0; v < division->nodes; v++) totals[v] = division_total(division, v);
    for (int v = 0; v < division->nodes; v++)
        if (totals[v] == 0) give_one(division, totals, v);
    free(totals);
    return SGP_OK;
}

static sgp_status_t fill(division_t *division, const division_options_t *options) {
    uint64_t *sizes = calloc((size_t)options->classes, sizeof *sizes);
    if (!sizes) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d classes", options->classes);
    for (uint64_t i = 0; i < options->count; i++) sizes[options->label(options->context, i)]++;
    sgp_status_t status = options->rule.kind == DIVISION_LABEL
                              ? divide_by_label(division, options, sizes)
                              : divide_by_dirichlet(division, options, sizes);
    free(sizes);
    return status ? status : give_to_empty(division);
}

sgp_status_t division_init(division_t *division, const division_options_t *options) {
    sgp_status_t status = check(&options->rule, options->nodes, options->classes, options->count);
    if (status) return status;
    size_t cells = (size_t)options->nodes * (size_t)options->classes;
    division_t made = {.nodes = options->nodes, .classes = options->classes};
    made.counts = calloc(cells, sizeof *made.counts);
    if (!made.counts)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d classes of %d nodes", options->classes,
                        options->nodes);
    status = fill(&made, options);
    if (status) division_fini(&made);
    else *division = made;
    return status;
}

void division_fini(division_t *division) {
    free(division->counts);
    *division = (division_t){0};
}

uint64_t division_total(const division_t *division, int node) {
    uint64_t total = 0;
    for (int c = 0; c < division->classes; c++) total += *entry(division, node, c);
    return total;
}

uint64_t division_hash(const division_t *division) {
    size_t cells = (size_t)division->nodes * (size_t)division->classes;
    return XXH3_64bits(division->counts, cells * sizeof *division->counts);
}

/* ---- the samples of a node ---- */

static int compare(const void *a, const void *b) {
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return (first > second) - (first < second);
}

/* Sorts the samples by class. order: (count). ends: (classes) zeros, then where each class ends in order. */
static void sort_by_class(const division_options_t *options, uint64_t *order, uint64_t *ends) {
    for (uint64_t i = 0; i < options->count; i++) ends[options->label(options->context, i)]++;
    uint64_t begin = 0;
    for (int c = 0; c < options->classes; c++) {
        uint64_t size = ends[c];
        ends[c] = begin;
        begin += size;
    }
    for (uint64_t i = 0; i < options->count; i++)
        order[ends[options->label(options->context, i)]++] = i;
}

sgp_status_t division_list(const division_t *division, const division_options_t *options, int node,
                           uint64_t *samples) {
    uint64_t *order = calloc(options->count, sizeof *order), *next = samples;
    uint64_t *ends = calloc((size_t)options->classes, sizeof *ends), begin = 0;
    if (!order || !ends) {
        free(order);
        free(ends);
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the order of %" PRIu64 " samples",
                        options->count);
    }
    sort_by_class(options, order, ends);
    for (int c = 0; c < options->classes; begin = ends[c++]) {
        sgp_random_t random;
        begin_stream(&random, options->seed, 2 * (uint64_t)c + 1);
        sgp_random_shuffle_u64(&random, order + begin, (size_t)(ends[c] - begin));
        uint64_t first = begin, count = *entry(division, node, c);
        for (int v = 0; v < node; v++) first += *entry(division, v, c);
        memcpy(next, order + first, count * sizeof *next);
        next += count;
    }
    free(order);
    free(ends);
    qsort(samples, (size_t)(next - samples), sizeof *samples, compare);
    return SGP_OK;
}
