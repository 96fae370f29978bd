/* SPDX-License-Identifier: Apache-2.0 */
/* make_corpus FOLDER writes the first inputs of the targets, FOLDER/TARGET/made-NAME: the bytes of a
 * good peer, and nearly good ones; the fuzzer finds the rest. make_corpus --check FOLDER fails if a
 * file differs from the one that it would write. */
#include "fuzz.h"

#include "data/formats/shard_index.h"
#include "data/segments_record.h"
#include "group/join/endpoint.h"
#include "group/join/join_message.h"
#include "transport/tcp/frame.h"
#include "wire/handshake.h"
#include "wire/header.h"

#include <sys/stat.h>
#include <xxhash.h>

static const char *root;
static bool check, failed;

typedef struct bytes {
    unsigned char at[8192];
    size_t count;
} bytes_t;

static void add(bytes_t *bytes, const void *more, size_t count) {
    FUZZ_CHECK(bytes->count + count <= sizeof bytes->at);
    memcpy(bytes->at + bytes->count, more, count);
    bytes->count += count;
}

static void add_byte(bytes_t *bytes, unsigned byte) {
    unsigned char one = (unsigned char)byte;
    add(bytes, &one, 1);
}

static bool write_file(const char *path, const bytes_t *bytes) {
    FILE *file = fopen(path, "wb");
    if (!file) return false;
    bool written = fwrite(bytes->at, 1, bytes->count, file) == bytes->count;
    return fclose(file) == 0 && written;
}

static bool is_file(const char *path, const bytes_t *bytes) {
    static unsigned char found[sizeof bytes->at + 1];
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    size_t count = fread(found, 1, sizeof found, file);
    fclose(file);
    return count == bytes->count && memcmp(found, bytes->at, count) == 0;
}

static void write_to(const char *target, const char *name, const bytes_t *bytes) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, target);
    if (!check) mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/made-%s", root, target, name);
    if (check ? is_file(path, bytes) : write_file(path, bytes)) return;
    if (check)
        fprintf(stderr, "%s: differs from what make_corpus writes; run make_corpus %s\n", path,
                root);
    else perror(path);
    failed = true;
}

/* ---- handshake ---- */

/* The hello of a good peer; the target corrects its proof and its magic number. */
static void add_hello(bytes_t *bytes, unsigned purpose) {
    unsigned char hello[SGP_HELLO_BYTES] = "sgphello\1\0\1";
    hello[13] = (unsigned char)purpose;
    hello[16] = 3;
    hello[20] = 4;
    hello[24] = 7;
    memcpy(hello + 40, "1.2.3", 5);
    memset(hello + 96, 0x77, SGP_NONCE_BYTES);
    add(bytes, hello, sizeof hello);
}

static void make_handshake(const char *name, unsigned switches, unsigned seed, unsigned purpose,
                           const char *refusal) {
    static const unsigned char nothing[SGP_PROOF_BYTES];
    unsigned char verdict[SGP_VERDICT_BYTES] = {refusal != NULL};
    bytes_t bytes = {0};
    if (refusal) memcpy(verdict + 1, refusal, strlen(refusal));
    add_byte(&bytes, switches);
    add_byte(&bytes, seed);
    add_hello(&bytes, purpose);
    add(&bytes, nothing, sizeof nothing);
    add(&bytes, verdict, sizeof verdict);
    write_to("handshake", name, &bytes);
}

static void make_handshakes(void) {
    enum { REPAIR = 0x01, CALLER = 0x02, KEYED = 0x04, HELLO = 0x08, REFUSE = 0x10, ECHO = 0x20 };
    const unsigned good = REPAIR | HELLO;
    make_handshake("answerer", good, 0, SGP_PURPOSE_LINK, NULL);
    make_handshake("answerer-keyed", good | KEYED, 5, SGP_PURPOSE_JOIN, NULL);
    make_handshake("answerer-refuses", good | KEYED | REFUSE, 5, SGP_PURPOSE_JOIN, NULL);
    make_handshake("answerer-refused", good | KEYED, 9, SGP_PURPOSE_LINK, "the group is full");
    make_handshake("answerer-unproven", HELLO | KEYED, 9, SGP_PURPOSE_LINK, NULL);
    make_handshake("answerer-plain", 0, 9, SGP_PURPOSE_LINK, NULL);
    make_handshake("answerer-purpose", good, 9, 99, NULL);
    make_handshake("caller", good | CALLER, 0, SGP_PURPOSE_LINK, NULL);
    make_handshake("caller-keyed", good | CALLER | KEYED, 5, SGP_PURPOSE_LINK, NULL);
    make_handshake("caller-refuses", good | CALLER | REFUSE, 5, SGP_PURPOSE_LINK, NULL);
    make_handshake("caller-refused", good | CALLER | KEYED, 5, SGP_PURPOSE_LINK, "not \x1b[31m");
    make_handshake("caller-no-reason", good | CALLER, 5, SGP_PURPOSE_LINK, "\n");
    make_handshake("caller-unproven", CALLER | HELLO | KEYED, 5, SGP_PURPOSE_LINK, NULL);
    make_handshake("caller-other-question", good | CALLER, 5, SGP_PURPOSE_JOIN, NULL);
    make_handshake("caller-echo", good | CALLER | ECHO, 0, SGP_PURPOSE_LINK, NULL);
    make_handshake("caller-not-keyed", REPAIR | CALLER | KEYED, 0, SGP_PURPOSE_LINK, NULL);
}

/* ---- chunks ---- */

static const sgp_header_t header = {.kind = SGP_KIND_PUSH,
                                    .encoding = SGP_ENCODING_FLOAT32,
                                    .src = 5,
                                    .run = 0x1122334455667788u,
                                    .step = 17,
                                    .id = 42,
                                    .weight = 0.5,
                                    .count = 2000,
                                    .offset = 1000,
                                    .elements = 16};

static void make_chunk(const char *name, unsigned switches, const sgp_header_t *of) {
    unsigned char encoded[SGP_HEADER_BYTES];
    bytes_t bytes = {0};
    add_byte(&bytes, switches);
    sgp_header_encode(of, encoded);
    add(&bytes, encoded, sizeof encoded);
    write_to("chunk", name, &bytes);
}

static void make_chunks(void) {
    sgp_header_t other = header;
    make_chunk("good", 0, &header);
    make_chunk("repaired", 3, &header);
    other.run++;
    make_chunk("run", 0, &other);
    other = header;
    other.elements = 1025;
    other.count = 1u << 20;
    make_chunk("large", 3, &other);
    other.elements = 1024;
    make_chunk("largest", 3, &other);
    other = header;
    other.offset = UINT64_MAX - 3;
    other.count = UINT64_MAX;
    make_chunk("far", 3, &other);
    other = header;
    other.src = -1;
    make_chunk("source", 3, &other);
    other.src = 8; /* of 8 ranks */
    make_chunk("source-first-outside", 3, &other);
    other = header;
    other.weight = -1;
    make_chunk("weight", 3, &other);
    other = header;
    other.kind = SGP_KIND_CONTROL;
    other.encoding = SGP_ENCODING_BYTES;
    make_chunk("control", 3, &other);
}

/* ---- streams ---- */

static void add_frame(bytes_t *bytes, sgp_frame_kind_t kind, uint32_t value) {
    unsigned char frame[SGP_FRAME_BYTES];
    sgp_frame_encode(kind, value, frame);
    add(bytes, frame, sizeof frame);
}

static void add_chunk(bytes_t *bytes, uint32_t ticket, uint32_t elements) {
    unsigned char encoded[SGP_HEADER_BYTES], payload[512] = {1, 2, 3};
    sgp_header_t of = header;
    of.run = 0x0101010101010101u;
    of.elements = elements;
    of.payload_hash = XXH3_64bits(payload, elements * sizeof(float));
    sgp_header_encode(&of, encoded);
    add_frame(bytes, SGP_FRAME_CHUNK, ticket);
    add(bytes, encoded, sizeof encoded);
    add(bytes, payload, elements * sizeof(float));
}

static void make_stream(const char *name, unsigned switches, unsigned seed, int chunks,
                        uint32_t elements) {
    bytes_t bytes = {0};
    add_byte(&bytes, switches);
    add_byte(&bytes, seed);
    for (int i = 0; i < chunks; i++) {
        add_chunk(&bytes, (uint32_t)i, elements);
        add_frame(&bytes, i % 2 ? SGP_FRAME_ALIVE : SGP_FRAME_RELEASED, (uint32_t)i);
    }
    add_frame(&bytes, SGP_FRAME_LEAVE, 0);
    write_to("stream", name, &bytes);
}

static void make_streams(void) {
    bytes_t bytes = {.at = {1, 5}, .count = 2};
    make_stream("frames", 2, 3, 0, 0);
    make_stream("one", 0, 3, 1, 16);
    make_stream("two", 1, 7, 2, 128);
    make_stream("empty", 1, 7, 3, 0);
    make_stream("small", 3, 9, 6, 1);
    for (int kind = SGP_FRAME_RELEASED; kind <= SGP_FRAME_LAST; kind++)
        add_frame(&bytes, (sgp_frame_kind_t)kind, (uint32_t)kind * 1000);
    add(&bytes, "GET / HTTP/1.1", 14);
    write_to("stream", "broken", &bytes);
    bytes = (bytes_t){.at = {1, 5}, .count = 2};
    add_chunk(&bytes, 1, 128);
    bytes.count -= 100;
    write_to("stream", "truncated", &bytes);
}

/* ---- endpoints ---- */

static void make_endpoint(const char *name, unsigned switches, const sgp_endpoint_t *of) {
    unsigned char encoded[SGP_ENDPOINT_BYTES];
    bytes_t bytes = {0};
    add_byte(&bytes, switches);
    sgp_endpoint_encode(of, encoded);
    add(&bytes, encoded, sizeof encoded);
    write_to("endpoint", name, &bytes);
}

static void make_endpoints(void) {
    sgp_endpoint_t endpoint = {.rank = 1,
                               .size = 4,
                               .run = 99,
                               .machine = 5,
                               .port = 7070,
                               .host = "node17",
                               .version = "1.2.3"};
    bytes_t bytes = {0};
    make_endpoint("good", 0, &endpoint);
    make_endpoint("repaired", FUZZ_REPAIR, &endpoint);
    memcpy(endpoint.address, "10.0.0.1:7070", 13);
    make_endpoint("address", FUZZ_REPAIR, &endpoint);
    snprintf(endpoint.address, sizeof endpoint.address, "[2001:db8::1]:65535");
    make_endpoint("address-six", FUZZ_REPAIR, &endpoint);
    snprintf(endpoint.address, sizeof endpoint.address, "[::ffff:10.0.0.1]:0");
    make_endpoint("address-mapped", FUZZ_REPAIR, &endpoint);
    snprintf(endpoint.address, sizeof endpoint.address,
             "node17:7070"); /* names are not looked up */
    make_endpoint("address-name", FUZZ_REPAIR, &endpoint);
    endpoint.rank = 4;
    make_endpoint("rank", FUZZ_REPAIR, &endpoint);
    add_byte(&bytes, 0);
    unsigned char head[SGP_JOIN_MESSAGE_HEADER];
    sgp_join_message_encode(SGP_JOIN_ENDPOINTS, 516, head);
    add(&bytes, head, sizeof head);
    write_to("endpoint", "note", &bytes);
}

/* ---- shards ---- */

enum { SHARD_REPAIR = 1, SHARD_IS_INDEX = 2 };

static void add_block(bytes_t *bytes, const void *content, size_t count) {
    static const uint8_t zeros[TAR_BLOCK];
    add(bytes, content, count);
    add(bytes, zeros, (size_t)tar_padded(count) - count);
}

static void add_header(bytes_t *bytes, const char *name, char type, size_t size) {
    uint8_t block[TAR_BLOCK];
    FUZZ_CHECK(tar_format(name, size, 0, block));
    block[156] = (uint8_t)type; /* its sum is repaired, unless it is that of a file */
    add(bytes, block, sizeof block);
}

static void add_member(bytes_t *bytes, const char *name, const char *content) {
    add_header(bytes, name, '0', strlen(content));
    add_block(bytes, content, strlen(content));
}

static void make_shard(const char *name, unsigned switches, const char *const *members, bool ends) {
    static const uint8_t end[2 * TAR_BLOCK];
    bytes_t bytes = {0};
    add_byte(&bytes, switches);
    for (; *members; members += 2) add_member(&bytes, members[0], members[1]);
    if (ends) add(&bytes, end, sizeof end);
    write_to("shard", name, &bytes);
}

static void make_extended(const char *name, char type, const char *content) {
    bytes_t bytes = {0};
    add_byte(&bytes, SHARD_REPAIR);
    add_header(&bytes, "extended", type, strlen(content));
    add_block(&bytes, content, strlen(content));
    add_member(&bytes, "x.jpg", "1");
    add_block(&bytes, "", 0);
    write_to("shard", name, &bytes);
}

static void make_index(const char *name, unsigned switches, const shard_sample_t *samples,
                       uint32_t count, uint64_t tar_bytes) {
    uint8_t encoded[512];
    bytes_t bytes = {0};
    shard_index_t index = {.samples = (shard_sample_t *)samples, .count = count};
    index.tar_bytes = tar_bytes;
    FUZZ_CHECK(shard_index_bytes(&index) <= sizeof encoded);
    shard_index_encode(&index, encoded);
    add_byte(&bytes, switches);
    add(&bytes, encoded, shard_index_bytes(&index));
    write_to("shard", name, &bytes);
}

/* One header with another byte in it, and `left` bytes behind it. */
static void make_odd(const char *name, const char *member, size_t at, unsigned byte, size_t left) {
    static const uint8_t zeros[2048];
    bytes_t bytes = {0};
    add_byte(&bytes, SHARD_REPAIR);
    add_header(&bytes, member, '0', 1000);
    bytes.at[1 + at] = (uint8_t)byte;
    add(&bytes, zeros, left);
    write_to("shard", name, &bytes);
}

/* An index with another byte in it. */
static void make_odd_index(const char *name, size_t at, unsigned byte) {
    static const shard_sample_t sample = {0, 100, 1, 0};
    uint8_t encoded[SHARD_INDEX_HEADER + SHARD_INDEX_RECORD];
    bytes_t bytes = {0};
    shard_index_t index = {.samples = (shard_sample_t *)&sample, .count = 1, .tar_bytes = 2048};
    shard_index_encode(&index, encoded);
    encoded[at] = (uint8_t)byte;
    add_byte(&bytes, SHARD_IS_INDEX);
    add(&bytes, encoded, sizeof encoded);
    write_to("shard", name, &bytes);
}

static void make_odd_shards(void) {
    enum { SIZE = 124, TYPE = 156, MAGIC = 257, PREFIX = 345 };
    make_odd("size-binary", "a.jpg", SIZE, 0x80, 2048);
    make_odd("size-negative", "a.jpg", SIZE, 0xff, 2048);
    make_odd("size-text", "a.jpg", SIZE, 'x', 2048);
    make_odd("link", "a.jpg", TYPE, '1', 2048);
    make_odd("folder", "a.jpg", TYPE, '5', 2048);
    make_odd("prefix", "a.jpg", PREFIX, 'p', 2048);
    make_odd("no-header", "a.jpg", MAGIC, 'x', 2048);
    make_odd("cut-in-picture", "a.jpg", MAGIC, 'u', 512);
    make_odd("control", "a\033[2J.jpg", MAGIC, 'u', 2048);
    make_odd_index("index-version", 8, 2);
    make_odd_index("index-count", 12, 2);
    make_odd_index("index-magic", 0, 'x');
    make_odd_index("index-sum", 24, 0);
}

static void make_shards(void) {
    static const shard_sample_t samples[] = {{0, 100, 1, 0}, {4, 512, 2, 9}, {8, 1, 3, 1}};
    make_shard("good", 0, (const char *[]){"a.jpg", "A", "a.cls", "0", NULL}, true);
    make_shard("repaired", SHARD_REPAIR, (const char *[]){"b/a.cls", "17", "b/a.PNG", "A", NULL},
               true);
    make_shard("others", SHARD_REPAIR,
               (const char *[]){"a.jpg", "A", "a.json", "{}", "a.cls", "1\n", NULL}, true);
    make_shard("unlabelled", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "b.jpg", "B", NULL},
               true);
    make_shard("wordy", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.cls", "cat", NULL}, true);
    make_shard("label-large", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.cls", "70000", NULL},
               true);
    make_shard("label-empty", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.cls", "", NULL},
               true);
    make_shard("twice", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.png", "0", NULL}, true);
    make_shard("label-alone", SHARD_REPAIR, (const char *[]){"README", "A", "a.cls", "0", NULL},
               true);
    make_shard("empty", SHARD_REPAIR, (const char *[]){"README", "A", NULL}, true);
    make_shard("cut", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.cls", "0", NULL}, false);
    make_extended("pax", 'x', "15 path=y.jpeg\n9 size=1\n");
    make_extended("pax-damaged", 'x', "99 path=y.jpeg\n");
    make_extended("gnu", 'L', "a/longer/name/of/a/member.jpg");
    make_extended("global", 'g', "10 x=yyyy\n");
    make_index("index", SHARD_IS_INDEX, samples, 3, 6144);
    make_index("index-repaired", SHARD_IS_INDEX | SHARD_REPAIR, samples, 3, 6144);
    make_index("index-outside", SHARD_IS_INDEX | SHARD_REPAIR, samples, 3, 4000);
}

/* ---- segments ---- */

static void make_segments(const char *name, unsigned switches, const segments_t *segments,
                          segments_form_t form) {
    bytes_t bytes = {0};
    size_t size = 0;
    add_byte(&bytes, switches);
    FUZZ_CHECK(segments_encode(segments, form, 7, bytes.at + 1, sizeof bytes.at - 1, &size) ==
               SGP_OK);
    bytes.count += size;
    write_to("segments", name, &bytes);
}

static void make_all_segments(void) {
    segments_t segments;
    position_set_t used = {0};
    segments_options_t options = {.count = 499, .workers = 2, .batch = 3, .nodes = 3};
    segments_event_t events[] = {
        {SEGMENTS_LEAVES, .member = segments_number(1, 0), .first = 5, .end = 16},
        {SEGMENTS_JOINS, .member = segments_number(1, 1), .first = 16, .candidate = 77},
        {SEGMENTS_LEAVES, .member = segments_number(2, 0), .first = 9, .end = 32},
        {SEGMENTS_PASSES, .member = segments_number(0, 0), .first = 6, .end = 12},
        {SEGMENTS_LEAVES, .member = segments_number(9, 0), .first = 0, .end = 4}};
    FUZZ_CHECK(segments_init(&segments, &options) == SGP_OK);
    make_segments("plain", 0, &segments, SEGMENTS_WHOLE);
    FUZZ_CHECK(segments_apply(&segments, events, 5) == SGP_OK);
    make_segments("events", 0, &segments, SEGMENTS_WHOLE);
    make_segments("repaired", FUZZ_REPAIR, &segments, SEGMENTS_WHOLE);
    FUZZ_CHECK(segments_fold(&segments, 10) == SGP_OK);
    FUZZ_CHECK(position_set_append(&used, 200, 206) == SGP_OK);
    position_set_arrange(&used);
    FUZZ_CHECK(segments_use(&segments, &used) == SGP_OK);
    make_segments("folded", 0, &segments, SEGMENTS_WHOLE);
    make_segments("report", 0, &segments, SEGMENTS_REPORT);
    position_set_fini(&used);
    segments_fini(&segments);
}

int main(int argc, char **argv) {
    check = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (argc != 2 + check) {
        fprintf(stderr, "usage: make_corpus [--check] FOLDER\n");
        return 2;
    }
    root = argv[argc - 1];
    make_handshakes();
    make_chunks();
    make_streams();
    make_endpoints();
    make_shards();
    make_odd_shards();
    make_all_segments();
    return failed;
}
