/* SPDX-License-Identifier: Apache-2.0 */
#include "make_corpus.h"

#include "base/bytes.h"
#include "group/status_row.h"

static sgp_status_row_t some_row(int seat) {
    sgp_status_row_t row;
    sgp_status_row_init(&row, seat, 1);
    row.version = 7;
    row.age_ms = 250;
    row.step = 1234;
    row.waits_for = 3;
    row.epoch = 2;
    row.memory = 1 << 20;
    row.wants = true;
    row.step_ms = 10;
    row.weight = 1;
    row.loss = -0.5f;
    row.accuracy = 0.75f;
    row.sent = row.received = 99;
    row.bytes_sent = 1 << 30;
    row.edge[0] = (sgp_status_row_edge_t){5, 1e6f, 12};
    row.edge[1] = (sgp_status_row_edge_t){6, 0, 120000};
    memcpy(row.host, "node17", 6);
    return row;
}

static size_t add_message(bytes_t *bytes, int rows) {
    sgp_status_message_t message = {.rows = rows, .taken = 5};
    unsigned char raw[SGP_STATUS_MESSAGE_BYTES], length[2];
    for (int i = 0; i < rows; i++) message.row[i] = some_row(i);
    size_t count = sgp_status_message_encode(&message, raw);
    sgp_bytes_put(length, count, 2);
    corpus_add(bytes, length, 2);
    corpus_add(bytes, raw, count);
    return count;
}

/* One row of which one byte is another one. */
static void make_odd(const char *name, size_t at, unsigned byte) {
    bytes_t bytes = {.count = 0};
    corpus_add_byte(&bytes, 0);
    add_message(&bytes, 1);
    bytes.at[3 + at] = (unsigned char)byte;
    corpus_write("status_rows", name, &bytes);
}

static void make_odd_row(const char *name, size_t at, unsigned byte) {
    make_odd(name, SGP_STATUS_HEAD_BYTES + at, byte);
}

void corpus_make_status(void) {
    bytes_t bytes = {.count = 0};
    corpus_add_byte(&bytes, 0);
    add_message(&bytes, SGP_STATUS_ROWS_MOST);
    add_message(&bytes, 0);
    add_message(&bytes, 3);
    corpus_write("status_rows", "good", &bytes);
    bytes.count -= 5;
    corpus_write("status_rows", "cut", &bytes);
    make_odd("format", 0, 9);
    make_odd("too-many", 2, SGP_STATUS_ROWS_MOST + 1);
    make_odd("length", 2, 2);
    make_odd_row("seat", 0, 8);
    make_odd_row("version", 8, 0);
    make_odd_row("waits", 22, 9);
    make_odd_row("flags", 34, 2);
    make_odd_row("time", 43, 0xff);   /* below 0 */
    make_odd_row("weight", 63, 0xbf); /* below 0 */
    make_odd_row("loss", 67, 0xff);
    make_odd_row("accuracy", 71, 0x40); /* 3 */
    make_odd_row("edge", 124, 8);
    make_odd_row("edge-behind", 144, 1);
    make_odd_row("rate", 129, 0xc9); /* below 0 */
    make_odd_row("host-end", 199, 'x');
}
