/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an open connection: switches, seed of the pieces, then frames and chunks. They are
 * parsed twice, in pieces of different sizes and read ahead by different amounts, with the same
 * result. A payload's buffer has exactly its size, so that the address sanitizer sees a byte too
 * many. */
#include "fuzz.h"

#include "transport/tcp/frame.h"
#include "transport/transport.h"

#include <xxhash.h>

enum { MANY_FRAMES = 0x02, CHUNK_BYTES = 512, AT_RUN = 16, AT_UNUSED = 88 };
enum { AT_CHECKSUM = SGP_HEADER_BYTES - 8 };

typedef struct reading {
    sgp_stream_t stream;
    sgp_transport_t transport;
    bool repair;
    bool over; /* nothing more can be read */
    unsigned char *place;
    size_t place_bytes;
    XXH64_hash_t found; /* all events so far */
    size_t events;
} reading_t;

static void note(reading_t *reading, const void *bytes, size_t length) {
    reading->found = XXH3_64bits_withSeed(bytes, length, reading->found);
}

static void repair(unsigned char bytes[SGP_HEADER_BYTES]) {
    memcpy(bytes, "1SGP", 4);
    bytes[4] = SGP_HEADER_VERSION;
    bytes[5] = 0;
    memset(bytes + AT_RUN, 1, 8);
    memset(bytes + AT_UNUSED, 0, AT_CHECKSUM - AT_UNUSED);
    uint64_t sum = XXH3_64bits(bytes, AT_CHECKSUM);
    for (int i = 0; i < 8; i++) bytes[AT_CHECKSUM + i] = (unsigned char)(sum >> 8 * i);
}

static void begin_chunk(reading_t *reading) {
    unsigned char bytes[SGP_HEADER_BYTES];
    sgp_header_t header;
    memcpy(bytes, reading->stream.header, sizeof bytes);
    if (reading->repair) repair(bytes);
    note(reading, bytes, sizeof bytes);
    reading->over = sgp_transport_accept(&reading->transport, bytes, &header) != SGP_OK;
    if (reading->over) return;
    reading->place_bytes = sgp_encoding_bytes(header.encoding, header.elements);
    FUZZ_CHECK(reading->place_bytes <= CHUNK_BYTES);
    reading->place = malloc(reading->place_bytes ? reading->place_bytes : 1);
    FUZZ_CHECK(reading->place);
    sgp_stream_place(&reading->stream, reading->place, reading->place_bytes);
}

static void end_chunk(reading_t *reading) {
    note(reading, reading->place, reading->place_bytes);
    free(reading->place);
    reading->place = NULL;
}

static void take_events(reading_t *reading) {
    while (!reading->over) {
        sgp_stream_event_t event = sgp_stream_next(&reading->stream);
        if (event == SGP_STREAM_MORE) return;
        reading->events++;
        note(reading, &event, sizeof event);
        if (event == SGP_STREAM_BROKEN) reading->over = true;
        if (event == SGP_STREAM_WHOLE) end_chunk(reading);
        if (event != SGP_STREAM_FRAME && event != SGP_STREAM_CHUNK) continue;
        FUZZ_CHECK((reading->stream.kind == SGP_FRAME_CHUNK) == (event == SGP_STREAM_CHUNK));
        FUZZ_CHECK(reading->stream.kind <= SGP_FRAME_LAST);
        note(reading, &reading->stream.kind, sizeof reading->stream.kind);
        note(reading, &reading->stream.value, sizeof reading->stream.value);
        if (reading->stream.kind == SGP_FRAME_PULSE)
            note(reading, &reading->stream.pulse, sizeof reading->stream.pulse);
        if (event == SGP_STREAM_CHUNK) begin_chunk(reading);
    }
}

/* One read of the socket, limited by the room, the bytes left and the piece. */
static void read_once(reading_t *reading, fuzz_input_t *input, fuzz_pieces_t *pieces) {
    struct iovec wanted[2];
    int count = sgp_stream_places(&reading->stream, wanted);
    size_t most = wanted[0].iov_len + (count > 1 ? wanted[1].iov_len : 0);
    FUZZ_CHECK(count >= 1 && count <= 2 && most > 0); /* a read of nothing looks like an end */
    size_t now = fuzz_piece(pieces, most), got = 0;
    for (int i = 0; i < count; i++) {
        size_t room = wanted[i].iov_len < now - got ? wanted[i].iov_len : now - got;
        got += fuzz_take(input, wanted[i].iov_base, room);
    }
    sgp_stream_received(&reading->stream, got);
    take_events(reading);
}

static void read_all(reading_t *reading, fuzz_input_t input, uint32_t seed, bool many_frames) {
    static const sgp_transport_ops_t ops = {.name = "fuzz"};
    static sgp_fates_t *fates;
    fuzz_pieces_t pieces = {seed};
    if (!fates) FUZZ_CHECK(sgp_fates_create(8, 8, &fates) == SGP_OK);
    reading->transport = (sgp_transport_t){.ops = &ops,
                                           .size = 8,
                                           .capacity = 8,
                                           .fates = fates,
                                           .run = 0x0101010101010101u,
                                           .chunk_bytes = CHUNK_BYTES};
    sgp_stream_init(&reading->stream, many_frames);
    while (!reading->over && input.left > 0) read_once(reading, &input, &pieces);
    free(reading->place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned switches = fuzz_byte(&input), seed = fuzz_byte(&input);
    reading_t whole = {.repair = switches & FUZZ_REPAIR};
    reading_t pieces = {.repair = switches & FUZZ_REPAIR};
    read_all(&whole, input, 0, true);
    read_all(&pieces, input, seed, switches & MANY_FRAMES);
    FUZZ_CHECK(whole.events == pieces.events);
    FUZZ_CHECK(whole.found == pieces.found);
    FUZZ_CHECK(whole.over == pieces.over);
    return 0;
}
