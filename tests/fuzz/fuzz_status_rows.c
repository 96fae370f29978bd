/* SPDX-License-Identifier: Apache-2.0 */
/* Messages with rows about members, as they arrive: switches, then each message with its length in two bytes in front. One that is
 * accepted is the same when it is written and read again, but for the bits of a NaN; its rows are merged into a table, in which
 * versions only grow. */
#include "fuzz.h"

#include "base/bytes.h"
#include "group/status_rows.h"

#include <math.h>

enum { CAPACITY = 8, SELF = 2 };

static void check_row(const sgp_status_row_t *row) {
    FUZZ_CHECK(row->seat >= 0 && row->seat < CAPACITY && row->version > 0);
    FUZZ_CHECK(row->waits_for == SGP_STATUS_ROW_NONE || row->waits_for < CAPACITY);
    FUZZ_CHECK(isnan(row->weight) || (isfinite(row->weight) && row->weight >= 0));
    FUZZ_CHECK(isnan(row->step_ms) || row->step_ms >= 0);
    FUZZ_CHECK(isnan(row->accuracy) || (row->accuracy >= 0 && row->accuracy <= 1));
    FUZZ_CHECK(strnlen(row->host, sizeof row->host) < sizeof row->host);
    for (int e = 0; e < SGP_STATUS_ROW_EDGES; e++)
        FUZZ_CHECK(row->edge[e].src == SGP_STATUS_ROW_NONE ||
                   (row->edge[e].src < CAPACITY && row->edge[e].src != row->seat));
}

static void check_again(const sgp_status_message_t *message, size_t size) {
    unsigned char bytes[SGP_STATUS_MESSAGE_BYTES], again[SGP_STATUS_MESSAGE_BYTES];
    sgp_status_message_t read;
    const char *reason = NULL;
    FUZZ_CHECK(sgp_status_message_encode(message, bytes) == size);
    FUZZ_CHECK(sgp_status_message_decode(bytes, size, CAPACITY, &read, &reason) == SGP_OK);
    FUZZ_CHECK(sgp_status_message_encode(&read, again) == size);
    FUZZ_CHECK(memcmp(bytes, again, size) == 0);
}

static void merge(sgp_status_rows_t *rows, const sgp_status_row_t *row, uint64_t now) {
    sgp_status_row_t before = rows->of[row->seat].row;
    bool merged = sgp_status_rows_merge(rows, row, 0, now);
    const sgp_status_known_t *known = &rows->of[row->seat];
    FUZZ_CHECK(merged || known->row.version == before.version);
    FUZZ_CHECK(!merged || (row->seat != SELF && known->time <= now));
    FUZZ_CHECK(
        known->row.incarnation > before.incarnation ||
        (known->row.incarnation == before.incarnation && known->row.version >= before.version));
}

static void take(sgp_status_rows_t *rows, const unsigned char *bytes, size_t size, uint64_t now) {
    sgp_status_message_t message;
    const char *reason = NULL;
    memset(&message, 0xa5, sizeof message);
    sgp_status_t status = sgp_status_message_decode(bytes, size, CAPACITY, &message, &reason);
    FUZZ_CHECK((status == SGP_OK) == (reason == NULL));
    FUZZ_CHECK(status == SGP_OK || message.rows == (int)0xa5a5a5a5);
    if (status != SGP_OK) return;
    for (int i = 0; i < message.rows; i++) check_row(&message.row[i]);
    check_again(&message, size);
    for (int i = 0; i < message.rows; i++) merge(rows, &message.row[i], now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    sgp_status_rows_t rows;
    sgp_status_row_t chosen[SGP_STATUS_ROWS_MOST];
    fuzz_byte(&input);
    FUZZ_CHECK(sgp_status_rows_init(&rows, CAPACITY, SELF, 0) == SGP_OK);
    for (uint64_t now = 1000000000; input.left > 0; now += 1000000) {
        unsigned char length[2] = {0}, bytes[SGP_STATUS_MESSAGE_BYTES + 1];
        fuzz_take(&input, length, sizeof length);
        size_t count = (size_t)sgp_bytes_get(length, 2) % (sizeof bytes + 1);
        take(&rows, bytes, fuzz_take(&input, bytes, count), now);
    }
    int count = sgp_status_rows_choose(&rows, SGP_STATUS_AROUND, 0, UINT64_MAX,
                                       SGP_STATUS_ROWS_MOST, chosen);
    FUZZ_CHECK(count <= SGP_STATUS_ROWS_MOST);
    for (int i = 0; i < count; i++) FUZZ_CHECK(chosen[i].seat != 0 && chosen[i].version > 0);
    sgp_status_rows_fini(&rows);
    return 0;
}
