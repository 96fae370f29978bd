/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/render_metrics.h"

#include "status/server/render_words.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

typedef enum kind { GAUGE, COUNTER, INFO } kind_t;

/* The lines about a family of samples. A counter's samples end in _total, an info's in _info. */
static void add_family(render_t *text, metrics_format_t format, const char *name, kind_t kind,
                       const char *help) {
    static const char *const kinds[] = {"gauge", "counter", "info"};
    static const char *const behind[] = {"", "_total", "_info"};
    const char *suffix = format == METRICS_OPEN ? "" : behind[kind];
    const char *shown = format == METRICS_OPEN || kind != INFO ? kinds[kind] : kinds[GAUGE];
    render_format(text, "# TYPE sgp_%s%s %s\n# HELP sgp_%s%s %s\n", name, suffix, shown, name,
                  suffix, help);
}

static void add_single(render_t *text, metrics_format_t format, const char *name, const char *help,
                       double value) {
    if (!isfinite(value)) return;
    add_family(text, format, name, GAUGE, help);
    render_format(text, "sgp_%s ", name);
    render_number(text, value, "");
    render_add(text, "\n");
}

static void add_label(render_t *text, const char *before, const char *name, const char *value) {
    render_format(text, "%s%s=", before, name);
    render_label(text, value);
}

static void add_run(render_t *text, metrics_format_t format, const sgp_status_snapshot_t *snapshot,
                    const digest_t *digest) {
    add_family(text, format, "run", INFO, "The run, and how it trains.");
    add_label(text, "sgp_run_info{", "run", snapshot->run);
    render_format(text, ",run_id=\"%016" PRIx64 "\",self=\"%d\"", snapshot->run_id, snapshot->self);
    add_label(text, ",", "algorithm", snapshot->algorithm);
    add_label(text, ",", "graph", snapshot->graph);
    add_label(text, ",", "encoding", snapshot->encoding);
    add_label(text, ",", "transport", snapshot->transport);
    render_add(text, "} 1\n");
    add_single(text, format, "run_seconds", "Since the start of the run.", snapshot->seconds);
    add_single(text, format, "run_left_seconds", "To the end of the run, by its present speed.",
               snapshot->seconds_left);
    add_single(text, format, "run_finished", "1: the run has ended in order.", snapshot->finished);
    add_single(text, format, "run_step", "The largest step of the live members.",
               (double)digest->step);
    add_single(text, format, "run_epoch", "The epoch that the first of them is in, from 1.",
               (double)digest->epoch);
    add_single(text, format, "run_epochs", "Of the whole run; 0: not known.",
               (double)snapshot->epochs);
    add_single(text, format, "run_loss", "The mean training loss of the live members.",
               digest->loss);
    add_single(text, format, "run_accuracy_ratio", "Their mean accuracy in the last evaluation.",
               digest->accuracy);
    add_single(text, format, "run_consensus_distance", "Of the last average.", snapshot->distance);
    add_single(text, format, "run_consensus_step", "The step of that average.",
               (double)snapshot->distance_step);
}

static void add_conditions(render_t *text, metrics_format_t format,
                           const sgp_status_snapshot_t *snapshot) {
    size_t count[SGP_STATUS_GONE + 1] = {0};
    for (size_t i = 0; i < snapshot->members; i++) count[snapshot->member[i].condition]++;
    add_family(text, format, "members", GAUGE, "Members in each condition.");
    for (int i = 0; i <= SGP_STATUS_GONE; i++)
        render_format(text, "sgp_members{condition=\"%s\"} %zu\n",
                      words_condition((sgp_status_condition_t)i), count[i]);
}

static void add_member_info(render_t *text, metrics_format_t format,
                            const sgp_status_snapshot_t *snapshot) {
    if (snapshot->members == 0) return;
    add_family(text, format, "member", INFO, "The members, by their seats.");
    for (size_t i = 0; i < snapshot->members; i++) {
        const sgp_status_member_t *member = &snapshot->member[i];
        render_format(text, "sgp_member_info{seat=\"%d\",incarnation=\"%" PRIu32 "\"", member->seat,
                      member->incarnation);
        add_label(text, ",", "condition", words_condition(member->condition));
        add_label(text, ",", "host", member->host);
        render_add(text, "} 1\n");
    }
}

/* ---- numbers of the members ---- */

typedef struct field {
    const char *name, *help;
    size_t offset; /* of a double, or of a uint64_t in sgp_status_member_t */
    kind_t kind;
    bool count;   /* a uint64_t */
    double scale; /* to the base unit */
} field_t;

#define AT(field) offsetof(sgp_status_member_t, field)

static const field_t fields[] = {
    {"member_steps", "Steps taken.", AT(step), COUNTER, true, 1},
    {"member_epoch", "The epoch that it is in, from 1; 0: none.", AT(epoch), GAUGE, true, 1},
    {"member_age_seconds", "Since its numbers were new.", AT(age), GAUGE, false, 1},
    {"member_samples_per_second", "Training speed.", AT(samples_per_second), GAUGE, false, 1},
    {"member_step_seconds", "A step, mean of its last seconds.", AT(step_ms), GAUGE, false, 1e-3},
    {"member_compute_seconds", "Of a step.", AT(compute_ms), GAUGE, false, 1e-3},
    {"member_update_seconds", "Of a step.", AT(update_ms), GAUGE, false, 1e-3},
    {"member_wait_seconds", "Of a step.", AT(wait_ms), GAUGE, false, 1e-3},
    {"member_weight", "Push-sum weight.", AT(weight), GAUGE, false, 1},
    {"member_loss", "Training loss, the last one.", AT(loss), GAUGE, false, 1},
    {"member_accuracy_ratio", "Accuracy in its last evaluation.", AT(accuracy), GAUGE, false, 1},
    {"member_sent_bytes", "Payload sent.", AT(bytes_sent), COUNTER, false, 1},
    {"member_received_bytes", "Payload received.", AT(bytes_received), COUNTER, false, 1},
    {"member_sent_messages", "Messages sent.", AT(sent), COUNTER, true, 1},
    {"member_received_messages", "Messages received.", AT(received), COUNTER, true, 1},
    {"member_lost_messages", "Messages lost.", AT(lost), COUNTER, true, 1},
    {"member_late_messages", "Messages that came late.", AT(late), COUNTER, true, 1},
    {"member_refused_messages", "Messages refused.", AT(refused), COUNTER, true, 1},
    {"member_resent_messages", "Messages sent again.", AT(resent), COUNTER, true, 1},
    {"member_memory_bytes", "Resident memory.", AT(memory), GAUGE, true, 1},
};

enum { FIELDS = sizeof fields / sizeof *fields };

static double value_of(const field_t *field, const sgp_status_member_t *member) {
    const char *at = (const char *)member + field->offset;
    return field->count ? (double)*(const uint64_t *)(const void *)at
                        : *(const double *)(const void *)at;
}

/* A family without samples is left out. */
static void add_field(render_t *text, metrics_format_t format, const field_t *field,
                      const sgp_status_snapshot_t *snapshot) {
    bool begun = false;
    for (size_t i = 0; i < snapshot->members; i++) {
        double value = value_of(field, &snapshot->member[i]);
        if (!isfinite(value)) continue;
        if (!begun) add_family(text, format, field->name, field->kind, field->help);
        begun = true;
        render_format(text, "sgp_%s%s{seat=\"%d\"} ", field->name,
                      field->kind == COUNTER ? "_total" : "", snapshot->member[i].seat);
        render_number(text, value * field->scale, "");
        render_add(text, "\n");
    }
}

static void add_slow(render_t *text, metrics_format_t format, const sgp_status_snapshot_t *snapshot,
                     const digest_t *digest) {
    if (snapshot->members == 0) return;
    add_family(text, format, "member_slow", GAUGE, "1: it takes longer than the others.");
    for (size_t i = 0; i < snapshot->members; i++)
        render_format(text, "sgp_member_slow{seat=\"%d\"} %d\n", snapshot->member[i].seat,
                      digest->slow[i]);
}

/* ---- edges ---- */

static void add_edges(render_t *text, metrics_format_t format, const char *name, const char *help,
                      size_t offset, const sgp_status_snapshot_t *snapshot) {
    bool begun = false;
    for (size_t i = 0; i < snapshot->edges; i++) {
        const sgp_status_edge_t *edge = &snapshot->edge[i];
        double value = *(const double *)(const void *)((const char *)edge + offset);
        if (!isfinite(value)) continue;
        if (!begun) add_family(text, format, name, GAUGE, help);
        begun = true;
        render_format(text, "sgp_%s{src=\"%d\",dst=\"%d\"} ", name, edge->src, edge->dst);
        render_number(text, value, "");
        render_add(text, "\n");
    }
}

void render_metrics(render_t *text, metrics_format_t format, const sgp_status_snapshot_t *snapshot,
                    const digest_t *digest) {
    add_run(text, format, snapshot, digest);
    add_conditions(text, format, snapshot);
    add_member_info(text, format, snapshot);
    for (int i = 0; i < FIELDS; i++) add_field(text, format, &fields[i], snapshot);
    add_slow(text, format, snapshot, digest);
    add_edges(text, format, "edge_bytes_per_second", "Payload from src to dst.",
              offsetof(sgp_status_edge_t, bytes_per_second), snapshot);
    add_edges(text, format, "edge_age_seconds", "Since the last message arrived at dst.",
              offsetof(sgp_status_edge_t, age), snapshot);
    render_add(text, "# EOF\n");
}
