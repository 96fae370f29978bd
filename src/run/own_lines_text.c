/* SPDX-License-Identifier: Apache-2.0 */
/* The lines as they are written. */
#include "run/own_lines.h"

#include "base/bytes.h"
#include "files/json.h"
#include "run/summary.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE64 = sodium_base64_VARIANT_ORIGINAL, PROBE_BYTES = PROBE_MAX * 4 };

/* Takes json (NULL: out of memory), made after files_json_begin. */
static char *line_of(json_t *json) {
    char *text = json ? json_dumps(json, JSON_COMPACT | FILES_JSON_FLAGS) : NULL, *line = NULL;
    json_decref(json);
    if (!text || files_json_failed() || asprintf(&line, "%s\n", text) < 0) line = NULL;
    free(text);
    return line;
}

static void add(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static json_t *place_json(const own_lines_head_t *head, double step) {
    json_t *line = json_pack("{s:i, s:I, s:i}", "epoch", head->epoch, "step", (json_int_t)step,
                             "node", head->node);
    if (line && head->workers) add(line, "worker", json_integer(head->worker));
    return line;
}

static void add_means(json_t *line, const metrics_record_t *record) {
    const metrics_step_t *mean = &record->mean;
    add(line, "seconds", files_json_number(mean->seconds));
    add(line, "loss", files_json_number(mean->loss_sum / mean->samples));
    add(line, "lr", files_json_number(mean->lr));
    add(line, "step_ms", files_json_number(mean->step_ms));
    add(line, "gradient_ms", files_json_number(mean->gradient_ms));
    add(line, "wait_ms", files_json_number(mean->wait_ms));
    add(line, "weight", files_json_number(mean->weight));
}

char *own_lines_head_text(const own_lines_head_t *head) {
    files_json_begin();
    json_t *line = json_pack("{s:s, s:i, s:i, s:i}", "run_id", head->run_id, "epoch", head->epoch,
                             "process", head->process, "node", head->node);
    if (!line) return NULL;
    if (head->workers) add(line, "worker", json_integer(head->worker));
    json_t *host = json_string(head->host); /* NULL: not UTF-8 */
    add(line, "host", host ? host : json_string("?"));
    add(line, "pid", json_integer(head->pid));
    add(line, "every", files_json_number(head->every));
    return line_of(line);
}

char *own_lines_text(const own_lines_head_t *head, const metrics_record_t *record,
                     const float *probe, size_t count) {
    unsigned char bytes[PROBE_BYTES];
    char text[sodium_base64_ENCODED_LEN(PROBE_BYTES, BASE64)];
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &probe[i], sizeof bits);
        sgp_bytes_put(bytes + 4 * i, bits, 4);
    }
    sodium_bin2base64(text, sizeof text, bytes, 4 * count, BASE64);
    files_json_begin();
    json_t *line = place_json(head, record->step);
    if (!line) return NULL;
    add_means(line, record);
    add(line, "probe", json_string(text));
    return line_of(line);
}

char *own_lines_recent_text(const own_lines_head_t *head, const own_lines_recent_t *recent,
                            const train_loss_t *losses, int loss_count) {
    files_json_begin();
    json_t *line = place_json(head, recent->record.step);
    if (!line) return NULL;
    add(line, "time", files_json_number(recent->time));
    add(line, "samples_per_second", files_json_number(recent->samples_per_second));
    add_means(line, &recent->record);
    if (loss_count > 0) add(line, "losses", summary_losses_json(losses, loss_count));
    return line_of(line);
}
