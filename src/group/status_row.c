/* SPDX-License-Identifier: Apache-2.0 */
#include "group/status_row.h"

#include "base/bytes.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    AT_SEAT = 0,
    AT_INCARNATION = 4,
    AT_VERSION = 8,
    AT_AGE = 12,
    AT_STEP = 16,
    AT_WAITS_FOR = 22,
    AT_EPOCH = 24,
    AT_MEMORY = 28,
    AT_FLAGS = 34,
    AT_HOPS = 35,
    AT_SAMPLES = 36,
    AT_TIMES = 40,
    AT_WEIGHT = 56,
    AT_LOSS = 64,
    AT_ACCURACY = 68,
    AT_BYTES_SENT = 72,
    AT_BYTES_RECEIVED = 80,
    AT_COUNTS = 88,
    AT_EDGES = 124,
    AT_HOST = 174,
    COUNT_BYTES = 6,
    EDGE_BYTES = 10,
    COUNTS = 6,
    TIMES = 4,
    FORMAT = 1,
    WANTS = 1,
};

_Static_assert(AT_HOST + SGP_STATUS_ROW_HOST == SGP_STATUS_ROW_BYTES, "the host ends the row");
_Static_assert(AT_EDGES + SGP_STATUS_ROW_EDGES * EDGE_BYTES == AT_HOST, "edges before the host");
_Static_assert(AT_COUNTS + COUNTS * COUNT_BYTES == AT_EDGES, "counts before the edges");

void sgp_status_row_init(sgp_status_row_t *row, int seat, uint32_t incarnation) {
    *row = (sgp_status_row_t){.seat = seat,
                              .incarnation = incarnation,
                              .waits_for = SGP_STATUS_ROW_NONE,
                              .samples_per_second = NAN,
                              .step_ms = NAN,
                              .compute_ms = NAN,
                              .update_ms = NAN,
                              .wait_ms = NAN,
                              .weight = NAN,
                              .loss = NAN,
                              .accuracy = NAN};
    for (int e = 0; e < SGP_STATUS_ROW_EDGES; e++)
        row->edge[e] = (sgp_status_row_edge_t){.src = SGP_STATUS_ROW_NONE};
}

/* ---- numbers ---- */

static void put_float(unsigned char *bytes, float value) {
    uint32_t bits;
    if (!isfinite(value)) value = NAN;
    memcpy(&bits, &value, sizeof bits);
    sgp_bytes_put(bytes, bits, sizeof bits);
}

static float get_float(const unsigned char *bytes) {
    uint32_t bits = (uint32_t)sgp_bytes_get(bytes, sizeof bits);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void put_double(unsigned char *bytes, double value) {
    uint64_t bits;
    if (!isfinite(value)) value = NAN;
    memcpy(&bits, &value, sizeof bits);
    sgp_bytes_put(bytes, bits, sizeof bits);
}

static double get_double(const unsigned char *bytes) {
    uint64_t bits = sgp_bytes_get(bytes, sizeof bits);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void put_count(unsigned char *bytes, uint64_t count) {
    sgp_bytes_put(bytes, count < SGP_STATUS_COUNT_MOST ? count : SGP_STATUS_COUNT_MOST,
                  COUNT_BYTES);
}

/* Known and not below 0, or not known. */
static bool is_amount(double value) {
    return isnan(value) || (isfinite(value) && value >= 0);
}

/* ---- a row ---- */

void sgp_status_row_encode(const sgp_status_row_t *row, unsigned char bytes[SGP_STATUS_ROW_BYTES]) {
    const float times[TIMES] = {row->step_ms, row->compute_ms, row->update_ms, row->wait_ms};
    const uint64_t counts[COUNTS] = {row->sent, row->received, row->lost,
                                     row->late, row->refused,  row->resent};
    memset(bytes, 0, SGP_STATUS_ROW_BYTES);
    sgp_bytes_put(bytes + AT_SEAT, (uint32_t)row->seat, 4);
    sgp_bytes_put(bytes + AT_INCARNATION, row->incarnation, 4);
    sgp_bytes_put(bytes + AT_VERSION, row->version, 4);
    sgp_bytes_put(bytes + AT_AGE, row->age_ms, 4);
    put_count(bytes + AT_STEP, row->step);
    sgp_bytes_put(bytes + AT_WAITS_FOR, (uint64_t)row->waits_for, 2);
    sgp_bytes_put(bytes + AT_EPOCH, row->epoch, 4);
    put_count(bytes + AT_MEMORY, row->memory >> 10);
    sgp_bytes_put(bytes + AT_FLAGS, row->wants ? WANTS : 0, 1);
    sgp_bytes_put(bytes + AT_HOPS, row->hops < 255 ? row->hops : 255, 1);
    put_float(bytes + AT_SAMPLES, row->samples_per_second);
    for (int i = 0; i < TIMES; i++) put_float(bytes + AT_TIMES + 4 * i, times[i]);
    put_double(bytes + AT_WEIGHT, row->weight);
    put_float(bytes + AT_LOSS, row->loss);
    put_float(bytes + AT_ACCURACY, row->accuracy);
    sgp_bytes_put(bytes + AT_BYTES_SENT, row->bytes_sent, 8);
    sgp_bytes_put(bytes + AT_BYTES_RECEIVED, row->bytes_received, 8);
    for (int i = 0; i < COUNTS; i++) put_count(bytes + AT_COUNTS + COUNT_BYTES * i, counts[i]);
    for (int i = 0; i < SGP_STATUS_ROW_EDGES; i++) {
        const sgp_status_row_edge_t *edge = &row->edge[i];
        unsigned char *at = bytes + AT_EDGES + EDGE_BYTES * i;
        sgp_bytes_put(at, (uint64_t)edge->src, 2);
        if (edge->src == SGP_STATUS_ROW_NONE) continue;
        put_float(at + 2, edge->bytes_per_second);
        sgp_bytes_put(at + 6, edge->age_ms, 4);
    }
    memcpy(bytes + AT_HOST, row->host, strnlen(row->host, SGP_STATUS_ROW_HOST - 1));
}

static bool is_zero(const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i]) return false;
    return true;
}

static const char *read_edges(const unsigned char *bytes, int capacity, sgp_status_row_t *row) {
    bool ended = false;
    for (int i = 0; i < SGP_STATUS_ROW_EDGES; i++) {
        sgp_status_row_edge_t *edge = &row->edge[i];
        const unsigned char *at = bytes + AT_EDGES + EDGE_BYTES * i;
        *edge = (sgp_status_row_edge_t){.src = (int)sgp_bytes_get(at, 2)};
        bool none = edge->src == SGP_STATUS_ROW_NONE;
        if (none && !is_zero(at + 2, EDGE_BYTES - 2)) return "an edge from no member has numbers";
        if (!none && ended) return "an edge stands behind the last one";
        ended = none;
        if (none) continue;
        if (edge->src >= capacity || edge->src == row->seat) return "an edge from no other member";
        edge->bytes_per_second = get_float(at + 2);
        edge->age_ms = (uint32_t)sgp_bytes_get(at + 6, 4);
        if (!is_amount((double)edge->bytes_per_second)) return "a rate of an edge that is none";
    }
    return NULL;
}

static const char *read_host(const unsigned char *bytes, sgp_status_row_t *row) {
    memcpy(row->host, bytes + AT_HOST, SGP_STATUS_ROW_HOST);
    size_t length = strnlen(row->host, SGP_STATUS_ROW_HOST);
    if (length == SGP_STATUS_ROW_HOST) return "a host's name without an end";
    return is_zero(bytes + AT_HOST + length, SGP_STATUS_ROW_HOST - length)
               ? NULL
               : "a host's name with something behind its end";
}

static void read_numbers(const unsigned char *bytes, sgp_status_row_t *row) {
    float *const times[TIMES] = {&row->step_ms, &row->compute_ms, &row->update_ms, &row->wait_ms};
    uint64_t *const counts[COUNTS] = {&row->sent, &row->received, &row->lost,
                                      &row->late, &row->refused,  &row->resent};
    row->samples_per_second = get_float(bytes + AT_SAMPLES);
    for (int i = 0; i < TIMES; i++) *times[i] = get_float(bytes + AT_TIMES + 4 * i);
    row->weight = get_double(bytes + AT_WEIGHT);
    row->loss = get_float(bytes + AT_LOSS);
    row->accuracy = get_float(bytes + AT_ACCURACY);
    for (int i = 0; i < COUNTS; i++)
        *counts[i] = sgp_bytes_get(bytes + AT_COUNTS + COUNT_BYTES * i, COUNT_BYTES);
}

static const char *check(const sgp_status_row_t *row, int capacity) {
    const float times[] = {row->samples_per_second, row->step_ms, row->compute_ms, row->update_ms,
                           row->wait_ms};
    if (row->seat < 0 || row->seat >= capacity) return "a row of no member of the group";
    if (row->version == 0) return "a row of version 0";
    if (row->waits_for != SGP_STATUS_ROW_NONE && row->waits_for >= capacity)
        return "a row that waits for no member of the group";
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (!is_amount((double)times[i])) return "a time or a rate that is none";
    if (!is_amount(row->weight)) return "a weight that is none";
    if (isinf(row->loss)) return "a loss that is infinite";
    if (!is_amount((double)row->accuracy) || row->accuracy > 1) return "an accuracy above 1";
    return NULL;
}

sgp_status_t sgp_status_row_decode(const unsigned char bytes[SGP_STATUS_ROW_BYTES], int capacity,
                                   sgp_status_row_t *row, const char **reason) {
    uint32_t seat = (uint32_t)sgp_bytes_get(bytes + AT_SEAT, 4);
    sgp_status_row_t read = {
        .seat = seat < (uint32_t)capacity ? (int)seat : -1,
        .incarnation = (uint32_t)sgp_bytes_get(bytes + AT_INCARNATION, 4),
        .version = (uint32_t)sgp_bytes_get(bytes + AT_VERSION, 4),
        .age_ms = (uint32_t)sgp_bytes_get(bytes + AT_AGE, 4),
        .step = sgp_bytes_get(bytes + AT_STEP, COUNT_BYTES),
        .waits_for = (int)sgp_bytes_get(bytes + AT_WAITS_FOR, 2),
        .epoch = (uint32_t)sgp_bytes_get(bytes + AT_EPOCH, 4),
        .wants = sgp_bytes_get(bytes + AT_FLAGS, 1) == WANTS,
        .hops = (unsigned)sgp_bytes_get(bytes + AT_HOPS, 1),
        .memory = sgp_bytes_get(bytes + AT_MEMORY, COUNT_BYTES) << 10,
        .bytes_sent = sgp_bytes_get(bytes + AT_BYTES_SENT, 8),
        .bytes_received = sgp_bytes_get(bytes + AT_BYTES_RECEIVED, 8),
    };
    read_numbers(bytes, &read);
    const char *wrong = check(&read, capacity);
    if (!wrong && sgp_bytes_get(bytes + AT_FLAGS, 1) > WANTS) wrong = "unknown flags of a row";
    if (!wrong) wrong = read_edges(bytes, capacity, &read);
    if (!wrong) wrong = read_host(bytes, &read);
    if (wrong) return *reason = wrong, SGP_ERR_FORMAT;
    *row = read;
    return SGP_OK;
}

/* ---- a message ---- */

size_t sgp_status_message_encode(const sgp_status_message_t *message,
                                 unsigned char bytes[SGP_STATUS_MESSAGE_BYTES]) {
    sgp_bytes_put(bytes, FORMAT, 2);
    sgp_bytes_put(bytes + 2, (uint64_t)message->rows, 1);
    sgp_bytes_put(bytes + 3, message->towards, 1);
    sgp_bytes_put(bytes + 4, message->taken, 4);
    for (int i = 0; i < message->rows; i++)
        sgp_status_row_encode(&message->row[i],
                              bytes + SGP_STATUS_HEAD_BYTES + (size_t)i * SGP_STATUS_ROW_BYTES);
    return SGP_STATUS_HEAD_BYTES + (size_t)message->rows * SGP_STATUS_ROW_BYTES;
}

static const char *check_head(const unsigned char *bytes, size_t size) {
    if (size < SGP_STATUS_HEAD_BYTES) return "a message with rows is cut off";
    if (sgp_bytes_get(bytes, 2) != FORMAT) return "another version of rows";
    uint64_t rows = sgp_bytes_get(bytes + 2, 1);
    if (sgp_bytes_get(bytes + 3, 1) > 1) return "unknown flags of a message with rows";
    if (rows > SGP_STATUS_ROWS_MOST) return "more rows than a message has";
    if (size != SGP_STATUS_HEAD_BYTES + rows * SGP_STATUS_ROW_BYTES)
        return "a message of another length than that of its rows";
    return NULL;
}

sgp_status_t sgp_status_message_decode(const unsigned char *bytes, size_t size, int capacity,
                                       sgp_status_message_t *message, const char **reason) {
    const char *wrong = check_head(bytes, size);
    if (wrong) return *reason = wrong, SGP_ERR_FORMAT;
    sgp_status_message_t read = {.rows = (int)sgp_bytes_get(bytes + 2, 1),
                                 .towards = sgp_bytes_get(bytes + 3, 1) == 1,
                                 .taken = (uint32_t)sgp_bytes_get(bytes + 4, 4)};
    for (int i = 0; i < read.rows; i++) {
        const unsigned char *row = bytes + SGP_STATUS_HEAD_BYTES + (size_t)i * SGP_STATUS_ROW_BYTES;
        sgp_status_t status = sgp_status_row_decode(row, capacity, &read.row[i], reason);
        if (status != SGP_OK) return status;
    }
    *message = read;
    return SGP_OK;
}
