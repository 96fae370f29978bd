/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Frames of a record: they fit into a stream's buffer beside the beginning of a frame. */
enum { MOST_FRAMES = 2048, HEAD_ROOM = 256 };

#define OUT_ROOM (HEAD_ROOM + SGP_SEAL_MOST + 2 * SGP_SEAL_OVERHEAD)
#define IN_ROOM  (SGP_SEAL_MOST + SGP_SEAL_OVERHEAD + SGP_SEAL_HEAD) /* and the next head */

bool sgp_records_begin(sgp_records_t *records, sgp_handshake_t *handshake) {
    *records = (sgp_records_t){.have = 0};
    if (!sgp_handshake_seals(handshake, &records->seals)) return false;
    if (!sgp_records_are_used(records)) return true;
    records->out = malloc(OUT_ROOM);
    records->in = malloc(IN_ROOM);
    if (records->out && records->in) return true;
    sgp_records_fini(records);
    return false;
}

void sgp_records_fini(sgp_records_t *records) {
    sgp_seals_destroy(&records->seals);
    free(records->out);
    free(records->in);
    *records = (sgp_records_t){.have = 0};
}

/* ---- sending ---- */

static bool add(sgp_records_t *records, const unsigned char *contents, size_t bytes) {
    if (!sgp_seal_close(records->seals.out, contents, bytes, records->out + records->out_end))
        return false;
    records->out_end += bytes + SGP_SEAL_OVERHEAD;
    records->meant += bytes;
    return true;
}

static void begin(sgp_records_t *records) {
    records->out_at = records->out_end = records->meant = 0;
}

bool sgp_records_add_frames(sgp_records_t *records, const unsigned char *frames, size_t bytes) {
    begin(records);
    return add(records, frames, bytes < MOST_FRAMES ? bytes : MOST_FRAMES);
}

bool sgp_records_add_chunk(sgp_records_t *records, const unsigned char *head, size_t head_bytes,
                           const unsigned char *payload, size_t payload_bytes, size_t done) {
    begin(records);
    if (done == 0 && !add(records, head, head_bytes)) return false;
    size_t paid = done > head_bytes ? done - head_bytes : 0, left = payload_bytes - paid;
    if (left == 0) return true;
    return add(records, payload + paid, left < SGP_SEAL_MOST ? left : SGP_SEAL_MOST);
}

ssize_t sgp_records_send(sgp_records_t *records, int socket, size_t *meant) {
    ssize_t sent = send(socket, records->out + records->out_at, records->out_end - records->out_at,
                        MSG_NOSIGNAL);
    *meant = 0;
    if (sent < 0) return sent;
    records->out_at += (size_t)sent;
    if (sgp_records_are_sent(records)) *meant = records->meant;
    return sent;
}

/* ---- receiving ---- */

/* Where the contents of a record belong. NULL: nowhere, so it is no record that we send. */
static void *place(sgp_stream_t *stream, size_t bytes) {
    struct iovec pieces[2];
    sgp_stream_places(stream, pieces);
    return bytes <= pieces[0].iov_len ? pieces[0].iov_base : NULL;
}

/* The whole record, of so many bytes. */
static bool open_record(sgp_records_t *records, sgp_stream_t *stream, size_t record) {
    size_t bytes = record - SGP_SEAL_OVERHEAD;
    void *to = place(stream, bytes);
    if (!to ||
        !sgp_seal_open(records->seals.in, records->in, records->in + SGP_SEAL_HEAD, bytes, to))
        return false;
    sgp_stream_received(stream, bytes);
    records->have -= record;
    memmove(records->in, records->in + record, records->have);
    return true;
}

static ssize_t altered(void) {
    errno = EBADMSG;
    return -1;
}

ssize_t sgp_records_receive(sgp_records_t *records, int socket, sgp_stream_t *stream, bool *more) {
    size_t record;
    if (!sgp_seal_arriving(records->in, records->have, &record)) return altered();
    size_t wanted = records->have < SGP_SEAL_HEAD ? record : record + SGP_SEAL_HEAD;
    ssize_t got = recv(socket, records->in + records->have, wanted - records->have, 0);
    if (got <= 0) return got;
    records->have += (size_t)got;
    *more = records->have == wanted;
    if (!sgp_seal_arriving(records->in, records->have, &record)) return altered();
    if (records->have < record || open_record(records, stream, record)) return got;
    return altered();
}
