/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/render_json.h"

#include "status/server/render_words.h"

#include <inttypes.h>

enum { VERSION = 1 };

/* "name": behind a comma unless it is the first field of its object. */
static void add_name(render_t *text, const char *name) {
    char last = text->length ? text->bytes[text->length - 1] : '{';
    render_format(text, "%s\"%s\":", last == '{' ? "" : ",", name);
}

static void add_text(render_t *text, const char *name, const char *value) {
    add_name(text, name);
    render_json_string(text, value);
}

static void add_number(render_t *text, const char *name, double value) {
    add_name(text, name);
    render_number(text, value, "null");
}

static void add_count(render_t *text, const char *name, uint64_t value) {
    add_name(text, name);
    render_format(text, "%" PRIu64, value);
}

static void add_flag(render_t *text, const char *name, bool value) {
    add_name(text, name);
    render_add(text, value ? "true" : "false");
}

static void add_run(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest) {
    add_count(text, "version", VERSION);
    add_text(text, "run", snapshot->run);
    add_name(text, "run_id");
    render_format(text, "\"%016" PRIx64 "\"", snapshot->run_id);
    add_text(text, "algorithm", snapshot->algorithm);
    add_text(text, "graph", snapshot->graph);
    add_text(text, "encoding", snapshot->encoding);
    add_text(text, "transport", snapshot->transport);
    add_number(text, "self", snapshot->self);
    add_flag(text, "finished", snapshot->finished);
    add_number(text, "seconds", snapshot->seconds);
    add_number(text, "seconds_left", snapshot->seconds_left);
    add_count(text, "step", digest->step);
    add_count(text, "step_min", digest->step_min);
    add_count(text, "epoch", digest->epoch);
    add_count(text, "epochs", snapshot->epochs);
    add_number(text, "samples_per_second", digest->samples_per_second);
    add_number(text, "loss", digest->loss);
    add_number(text, "accuracy", digest->accuracy);
    add_number(text, "distance", snapshot->distance);
    add_count(text, "distance_step", snapshot->distance_step);
    add_count(text, "live", digest->live);
    add_count(text, "total", snapshot->members);
}

static void add_progress(render_t *text, const sgp_status_member_t *member) {
    bool ended = member->condition == SGP_STATUS_LEFT || member->condition == SGP_STATUS_GONE;
    add_name(text, "gone_step");
    if (ended) render_format(text, "%" PRIu64, member->gone_step);
    else render_add(text, "null");
    add_count(text, "step", member->step);
    add_count(text, "epoch", member->epoch);
    add_number(text, "age", member->age);
    add_number(text, "samples_per_second", member->samples_per_second);
    add_number(text, "step_ms", member->step_ms);
    add_number(text, "compute_ms", member->compute_ms);
    add_number(text, "update_ms", member->update_ms);
    add_number(text, "wait_ms", member->wait_ms);
    add_number(text, "weight", member->weight);
    add_number(text, "loss", member->loss);
    add_number(text, "accuracy", member->accuracy);
}

static void add_member(render_t *text, const sgp_status_member_t *member, bool slow) {
    render_add(text, "{");
    add_number(text, "seat", member->seat);
    add_count(text, "incarnation", member->incarnation);
    add_text(text, "condition", words_condition(member->condition));
    add_flag(text, "slow", slow);
    add_text(text, "host", member->host);
    add_text(text, "reason", member->reason);
    add_progress(text, member);
    add_number(text, "bytes_sent", member->bytes_sent);
    add_number(text, "bytes_received", member->bytes_received);
    add_count(text, "sent", member->sent);
    add_count(text, "received", member->received);
    add_count(text, "lost", member->lost);
    add_count(text, "late", member->late);
    add_count(text, "refused", member->refused);
    add_count(text, "resent", member->resent);
    add_count(text, "memory", member->memory);
    render_add(text, "}");
}

static void add_edge(render_t *text, const sgp_status_edge_t *edge) {
    render_format(text, "{\"src\":%d,\"dst\":%d,\"in_step\":%s", edge->src, edge->dst,
                  edge->in_step ? "true" : "false");
    add_number(text, "bytes_per_second", edge->bytes_per_second);
    add_number(text, "age", edge->age);
    render_add(text, "}");
}

static void add_curve(render_t *text, const char *name, const sgp_status_curve_t *curve) {
    add_name(text, name);
    render_add(text, "[");
    for (size_t i = 0; i < curve->count; i++) {
        render_add(text, i ? ",[" : "[");
        render_number(text, curve->point[i].seconds, "null");
        render_add(text, ",");
        render_number(text, curve->point[i].step, "null");
        render_add(text, ",");
        render_number(text, curve->point[i].value, "null");
        render_add(text, "]");
    }
    render_add(text, "]");
}

static void add_line(render_t *text, const sgp_status_line_t *line) {
    render_add(text, "{");
    add_number(text, "seconds", line->seconds);
    add_text(text, "level", words_level(line->level));
    add_text(text, "text", line->text);
    render_add(text, "}");
}

void render_json(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest) {
    render_add(text, "{");
    add_run(text, snapshot, digest);
    add_name(text, "members");
    for (size_t i = 0; i < snapshot->members; i++) {
        render_add(text, i ? ",\n" : "[\n");
        add_member(text, &snapshot->member[i], digest->slow[i]);
    }
    render_add(text, snapshot->members ? "]" : "[]");
    add_name(text, "edges");
    render_add(text, "[");
    for (size_t i = 0; i < snapshot->edges; i++) {
        render_add(text, i ? ",\n" : "\n");
        add_edge(text, &snapshot->edge[i]);
    }
    render_add(text, "]");
    add_name(text, "curves");
    render_add(text, "{");
    add_curve(text, "loss", &snapshot->loss);
    add_curve(text, "accuracy", &snapshot->accuracy);
    render_add(text, "}");
    add_name(text, "log");
    render_add(text, "[");
    for (size_t i = 0; i < snapshot->lines; i++) {
        render_add(text, i ? ",\n" : "\n");
        add_line(text, &snapshot->line[i]);
    }
    render_add(text, "]}\n");
}
