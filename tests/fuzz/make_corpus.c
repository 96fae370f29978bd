/* SPDX-License-Identifier: Apache-2.0 */
/* make_corpus FOLDER writes the first inputs of the targets, FOLDER/TARGET/made-NAME: the bytes of a
 * good peer, and nearly good ones; the fuzzer finds the rest. make_corpus --check FOLDER fails if a
 * file differs from the one that it would write. */
#include "make_corpus.h"

#include "base/bytes.h"
#include "group/agree_message.h"
#include "group/join/endpoint.h"
#include "group/join/enter_message.h"
#include "group/join/join_message.h"
#include "group/verdict.h"
#include "group/view_message.h"
#include "transport/tcp/frame.h"
#include "wire/handshake.h"
#include "wire/header.h"
#include "wire/question.h"

#include <sys/stat.h>
#include <xxhash.h>

static const char *root;
static bool check, failed;

void corpus_add(bytes_t *bytes, const void *more, size_t count) {
    FUZZ_CHECK(bytes->count + count <= sizeof bytes->at);
    if (count) memcpy(bytes->at + bytes->count, more, count);
    bytes->count += count;
}

void corpus_add_byte(bytes_t *bytes, unsigned byte) {
    unsigned char one = (unsigned char)byte;
    corpus_add(bytes, &one, 1);
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

void corpus_write(const char *target, const char *name, const bytes_t *bytes) {
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

enum { REPAIR = 0x01, CALLER = 0x02, KEYED = 0x04, HELLO = 0x08, REFUSE = 0x10, ECHO = 0x20 };

/* The hello of a good peer; the target corrects its proof and its magic number. */
static void add_hello(bytes_t *bytes, unsigned purpose) {
    unsigned char hello[SGP_HELLO_BYTES] = "sgphello\1\0\1";
    hello[13] = (unsigned char)purpose;
    hello[16] = 3;
    hello[20] = 4;
    hello[24] = 7;
    memcpy(hello + 40, "1.2.3", 5);
    memset(hello + 96, 0x77, SGP_NONCE_BYTES);
    corpus_add(bytes, hello, sizeof hello);
}

static void make_handshake(const char *name, unsigned switches, unsigned seed, unsigned purpose,
                           const char *refusal) {
    static const unsigned char nothing[SGP_OPENING_BYTES];
    unsigned char verdict[SGP_VERDICT_BYTES + SGP_NOISE_TAG] = {refusal != NULL};
    bytes_t bytes = {0};
    if (refusal) memcpy(verdict + 1, refusal, strlen(refusal));
    corpus_add_byte(&bytes, switches);
    corpus_add_byte(&bytes, seed);
    add_hello(&bytes, purpose);
    corpus_add(&bytes, nothing, switches & KEYED ? SGP_OPENING_BYTES : SGP_PROOF_BYTES);
    corpus_add(&bytes, verdict, switches & KEYED ? sizeof verdict : SGP_VERDICT_BYTES);
    corpus_write("handshake", name, &bytes);
}

static void make_handshakes(void) {
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

/* ---- records ---- */

static void make_record(const char *name, unsigned switches, unsigned before, unsigned at,
                        const void *over, size_t count) {
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, switches);
    corpus_add_byte(&bytes, before);
    corpus_add_byte(&bytes, at);
    corpus_add(&bytes, over, count);
    corpus_write("record", name, &bytes);
}

static void make_records(void) {
    enum { CHACHA = 0x02, CLEAR = 0x04, OVER = 0x08 };
    static const unsigned char zeros[84];
    make_record("good", OVER, 2, 0, NULL, 0);
    make_record("good-chacha", OVER | CHACHA, 0, 0, NULL, 0);
    make_record("good-clear", OVER | CLEAR, 3, 0, NULL, 0);
    make_record("head", OVER, 1, 0, "\1", 1);
    make_record("contents", OVER | CLEAR, 1, 9, "d", 1);
    make_record("tag", OVER | CHACHA, 1, 70, "tag", 3);
    make_record("of-nobody", 0, 1, 0, zeros, sizeof zeros);
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
    corpus_add_byte(&bytes, switches);
    sgp_header_encode(of, encoded);
    corpus_add(&bytes, encoded, sizeof encoded);
    corpus_write("chunk", name, &bytes);
}

/* Fields that have to be 0. */
static const struct {
    const char *name;
    size_t at;
} unused[] = {{"codec", 95}, {"round", 96}, {"reserved", 103}, {"tag", 104}, {"tag-end", 119}};

static void make_early_chunk(const char *name, size_t at) {
    unsigned char encoded[SGP_HEADER_BYTES];
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, 3);
    sgp_header_encode(&header, encoded);
    encoded[at] = 1;
    corpus_add(&bytes, encoded, sizeof encoded);
    corpus_write("chunk", name, &bytes);
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
    other.encoding = SGP_ENCODING_INT8;
    make_chunk("blocks", 3, &other);
    other.elements++;
    make_chunk("blocks-large", 3, &other);
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
    other = header;
    other.incarnation = UINT32_MAX;
    other.view = UINT64_MAX;
    make_chunk("view", 3, &other);
    for (size_t i = 0; i < sizeof unused / sizeof *unused; i++)
        make_early_chunk(unused[i].name, unused[i].at);
}

/* ---- streams ---- */

static void add_frame(bytes_t *bytes, sgp_frame_kind_t kind, uint32_t value) {
    unsigned char frame[SGP_FRAME_BYTES];
    sgp_frame_encode(kind, value, frame);
    corpus_add(bytes, frame, sizeof frame);
}

static void add_chunk(bytes_t *bytes, uint32_t ticket, uint32_t elements) {
    unsigned char encoded[SGP_HEADER_BYTES], payload[512] = {1, 2, 3};
    sgp_header_t of = header;
    of.run = 0x0101010101010101u;
    of.elements = elements;
    of.payload_hash = XXH3_64bits(payload, elements * sizeof(float));
    sgp_header_encode(&of, encoded);
    add_frame(bytes, SGP_FRAME_CHUNK, ticket);
    corpus_add(bytes, encoded, sizeof encoded);
    corpus_add(bytes, payload, elements * sizeof(float));
}

static void make_stream(const char *name, unsigned switches, unsigned seed, int chunks,
                        uint32_t elements) {
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, switches);
    corpus_add_byte(&bytes, seed);
    for (int i = 0; i < chunks; i++) {
        add_chunk(&bytes, (uint32_t)i, elements);
        add_frame(&bytes, i % 2 ? SGP_FRAME_ALIVE : SGP_FRAME_RELEASED, (uint32_t)i);
    }
    add_frame(&bytes, SGP_FRAME_LEAVE, 0);
    corpus_write("stream", name, &bytes);
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
    corpus_add(&bytes, "step\0\0\0\0digest\0", 16); /* of the last one, a pulse */
    corpus_add(&bytes, "GET / HTTP/1.1", 14);
    corpus_write("stream", "broken", &bytes);
    bytes = (bytes_t){.at = {1, 5}, .count = 2};
    add_chunk(&bytes, 1, 128);
    bytes.count -= 100;
    corpus_write("stream", "truncated", &bytes);
}

/* ---- endpoints ---- */

static void make_endpoint(const char *name, unsigned switches, const sgp_endpoint_t *of) {
    unsigned char encoded[SGP_ENDPOINT_BYTES];
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, switches);
    sgp_endpoint_encode(of, encoded);
    corpus_add(&bytes, encoded, sizeof encoded);
    corpus_write("endpoint", name, &bytes);
}

/* ---- candidates and sponsors ---- */

static void make_enter(const char *name, unsigned switches, sgp_enter_kind_t kind,
                       const unsigned char *contents, size_t count) {
    unsigned char head[SGP_ENTER_HEAD];
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, switches);
    sgp_enter_head_encode(kind, count, head);
    corpus_add(&bytes, head, sizeof head);
    corpus_add(&bytes, contents, count);
    corpus_write("enter", name, &bytes);
}

static void make_enters(void) {
    unsigned char contents[1024], table[3 * SGP_ENTER_MEMBER_BYTES];
    sgp_enter_request_t request = {
        .candidate = 7,
        .seat = -1,
        .endpoint = {.rank = -1, .size = 1, .run = 99, .port = 7070, .version = "1.2.3"},
        .detail = "model",
        .detail_bytes = 5};
    sgp_enter_request_encode(&request, contents);
    make_enter("request", 0, SGP_ENTER_REQUEST, contents, sgp_enter_request_bytes(&request));
    make_enter("request-repaired", FUZZ_REPAIR, SGP_ENTER_REQUEST, contents,
               sgp_enter_request_bytes(&request));
    sgp_welcome_put_member(&(sgp_enter_member_t){.seat = 0, .incarnation = 2}, table);
    sgp_welcome_put_member(
        &(sgp_enter_member_t){.seat = 1, .present = true, .address = "10.0.0.2:7070"},
        table + SGP_ENTER_MEMBER_BYTES);
    sgp_welcome_put_member(
        &(sgp_enter_member_t){.seat = 3, .present = true, .address = "10.0.0.1:7070"},
        table + 2 * SGP_ENTER_MEMBER_BYTES);
    sgp_welcome_t welcome = {.capacity = 5,
                             .founders = 2,
                             .seat = 1,
                             .run = 99,
                             .chunk_bytes = 64,
                             .members = 3,
                             .table = table,
                             .view = "view",
                             .view_bytes = 4,
                             .blob = "options",
                             .blob_bytes = 7};
    sgp_welcome_encode(&welcome, contents);
    make_enter("welcome", 0, SGP_ENTER_WELCOME, contents, sgp_welcome_bytes(&welcome));
    make_enter("welcome-repaired", FUZZ_REPAIR, SGP_ENTER_WELCOME, contents,
               sgp_welcome_bytes(&welcome));
    make_enter("ready", 0, SGP_ENTER_READY, contents, 0);
    make_enter("refused", 0, SGP_ENTER_REFUSED, contents,
               sgp_enter_refused_encode("all 4 seats are taken", true, contents));
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
    corpus_add_byte(&bytes, 0);
    unsigned char head[SGP_JOIN_MESSAGE_HEADER];
    sgp_join_message_encode(SGP_JOIN_ENDPOINTS, 516, head);
    corpus_add(&bytes, head, sizeof head);
    corpus_write("endpoint", "note", &bytes);
}

/* ---- views ---- */

static const sgp_member_notice_t some_notices[] = {
    {.kind = SGP_MEMBER_DEAD, .flags = SGP_MEMBER_CERTAIN, .seat = 3, .step = 32, .last = 17},
    {.kind = SGP_MEMBER_JOIN,
     .seat = 3,
     .incarnation = 1,
     .step = 48,
     .candidate = 0x0123456789abcdefu,
     .origin = 2,
     .card_bytes = 4,
     .card = (const unsigned char *)"card"},
    {.kind = SGP_MEMBER_LEFT, .seat = 3, .incarnation = 1, .step = 64, .last = 50, .origin = 3},
    {.kind = SGP_MEMBER_JOIN, .seat = 6, .step = 48, .candidate = 7},
    {.kind = SGP_MEMBER_JOIN, .seat = 6, .step = 64, .candidate = 6},
    {.kind = SGP_MEMBER_JOIN, .seat = 6, .incarnation = UINT32_MAX, .step = 80, .candidate = 5},
};

static const sgp_member_notice_t founder = {
    .kind = SGP_MEMBER_JOIN, .seat = 1, .step = 48, .candidate = 7};

enum { SOME_NOTICES = sizeof some_notices / sizeof *some_notices };

static void add_view(bytes_t *bytes, const sgp_member_notice_t *notices, int count) {
    unsigned char message[2048], length[2];
    size_t size =
        sgp_view_encode_notices(notices, count, SGP_VIEW_YOU_WERE_SILENT, message, sizeof message);
    sgp_bytes_put(length, size, sizeof length);
    corpus_add(bytes, length, sizeof length);
    corpus_add(bytes, message, size);
}

static void add_heard(bytes_t *bytes, const sgp_heard_message_t *heard) {
    unsigned char message[SGP_HEARD_BYTES], length[2];
    sgp_heard_encode(heard, message);
    sgp_bytes_put(length, sizeof message, sizeof length);
    corpus_add(bytes, length, sizeof length);
    corpus_add(bytes, message, sizeof message);
}

/* The last notice with another value in one of its fields. */
static void make_odd_view(const char *name, size_t at, unsigned byte) {
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, 0);
    add_view(&bytes, some_notices, SOME_NOTICES);
    bytes.at[bytes.count - SGP_MEMBER_NOTICE_BYTES + at] = (unsigned char)byte;
    corpus_write("view", name, &bytes);
}

static void make_odd_views(void) {
    make_odd_view("kind", 0, 9);
    make_odd_view("flags", 1, 1);
    make_odd_view("seat", 2, 8); /* of 8 */
    make_odd_view("step", 8, 81);
    make_odd_view("step-far", 15, 0x40);
    make_odd_view("last", 16, 1);
    make_odd_view("candidate", 24, 0);
    make_odd_view("origin", 32, 8);
    make_odd_view("card", 34, 4);
    make_odd_view("reserved", 36, 1);
}

static void make_views(void) {
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, 0);
    add_view(&bytes, some_notices, SOME_NOTICES);
    corpus_write("view", "good", &bytes);
    bytes.count -= 20;
    corpus_write("view", "truncated", &bytes);
    bytes = (bytes_t){.at = {1}, .count = 1};
    add_view(&bytes, some_notices, 0);
    for (int i = SOME_NOTICES; i-- > 0;) add_view(&bytes, &some_notices[i], 1);
    corpus_write("view", "one-by-one", &bytes);
    bytes = (bytes_t){.at = {0}, .count = 1};
    add_view(&bytes, some_notices, 2);
    bytes.at[3]--; /* the count */
    corpus_write("view", "count", &bytes);
    bytes.at[5] = 0x80; /* the flags */
    corpus_write("view", "view-flags", &bytes);
    bytes = (bytes_t){.at = {0}, .count = 1};
    add_view(&bytes, &founder, 1);
    corpus_write("view", "founder", &bytes);
    bytes = (bytes_t){.at = {0}, .count = 1};
    add_heard(&bytes, &(sgp_heard_message_t){.seat = 2, .incarnation = 1});
    add_heard(&bytes, &(sgp_heard_message_t){.answer = true, .hears = true, .seat = 7});
    corpus_write("view", "heard", &bytes);
    make_odd_views();
}

/* ---- agree ---- */

/* Moves of the target: to seat `seat`. */
enum { AGREE_HEAR, AGREE_LOSE, AGREE_BEGIN, AGREE_SEND };

static void add_move(bytes_t *bytes, unsigned what, int seat) {
    corpus_add_byte(bytes, what | (unsigned)seat << 2);
}

static void add_begin(bytes_t *bytes, unsigned seats) {
    add_move(bytes, AGREE_BEGIN, 0);
    corpus_add_byte(bytes, seats);
}

/* attempt 0: a DECIDED, from the payload of seat `first` on. */
static void add_agree(bytes_t *bytes, int src, uint64_t call, uint32_t attempt, int first,
                      int payloads, unsigned seats) {
    static const sgp_agree_limits_t limits = {.capacity = 5, .payload_bytes = 12};
    unsigned char set = (unsigned char)seats, message[256];
    sgp_agree_message_t of = {.call = call,
                              .form = attempt ? SGP_AGREE_STATE : SGP_AGREE_DECIDED,
                              .attempt = attempt,
                              .first = first,
                              .payloads = payloads,
                              .set = &set};
    unsigned char *end = sgp_agree_message_begin(&limits, &of, message);
    for (int i = 0, seat = first; i < payloads; seat++)
        if (seats >> seat & 1) end = sgp_agree_payload_put(end, "mine", 4), i++;
    add_move(bytes, AGREE_HEAR, src);
    corpus_add_byte(bytes, (unsigned)(end - message));
    corpus_add(bytes, message, (size_t)(end - message));
}

static void add_state(bytes_t *bytes, int src, uint64_t call, uint32_t attempt, unsigned seats) {
    add_agree(bytes, src, call, attempt, src, 1, seats);
}

/* Two calls of three seats. */
static void make_agree_calls(void) {
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, 0);
    for (uint64_t call = 1; call <= 2; call++) {
        add_begin(&bytes, 0x7);
        add_move(&bytes, AGREE_SEND, 0);
        add_state(&bytes, 0, call, 1, 0x7);
        add_state(&bytes, 2, call, 1, 0x7);
    }
    add_state(&bytes, 2, 2, 2, 0x6); /* late: it is answered */
    corpus_write("agree", "calls", &bytes);
}

static void make_agree_losses(void) {
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, 0);
    add_begin(&bytes, 0xf);
    add_state(&bytes, 0, 1, 1, 0xf);
    add_state(&bytes, 2, 1, 1, 0xf);
    add_move(&bytes, AGREE_LOSE, 3);
    add_move(&bytes, AGREE_SEND, 0);
    add_state(&bytes, 0, 2, 1, 0x7); /* early */
    add_agree(&bytes, 2, 1, 0, 0, 2, 0xf);
    add_agree(&bytes, 2, 1, 0, 2, 2, 0xf);
    add_move(&bytes, AGREE_SEND, 0);
    add_begin(&bytes, 0x7);
    add_move(&bytes, AGREE_LOSE, 2);
    add_state(&bytes, 0, 2, 2, 0x3);
    add_move(&bytes, AGREE_SEND, 32); /* and farewell */
    corpus_write("agree", "losses", &bytes);
}

static void make_agree_refused(void) {
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, 0);
    add_begin(&bytes, 0x1f);
    add_state(&bytes, 1, 1, 1, 0x1f); /* from this seat */
    add_state(&bytes, 6, 1, 1, 0x5f); /* from no seat */
    add_state(&bytes, 0, 1, 1, 0x1d); /* it goes on without this member */
    add_state(&bytes, 0, 9, 1, 0x1f);
    add_agree(&bytes, 0, 1, 1, 2, 1, 0x1f); /* for another */
    add_agree(&bytes, 0, 1, 0, 0, 1, 0x1e);
    add_agree(&bytes, 0, 2, 0, 0, 1, 0x1f);
    add_state(&bytes, 0, 1, 1, 0x1f);
    add_state(&bytes, 0, 1, 1, 0x1f); /* again */
    corpus_write("agree", "refused", &bytes);
    bytes.at[0] = FUZZ_REPAIR;
    corpus_write("agree", "repaired", &bytes);
    bytes.count -= 5;
    corpus_write("agree", "cut", &bytes);
}

/* ---- questions ---- */

static void make_question(const char *name, const unsigned char *message, size_t count) {
    bytes_t bytes = {.count = 0};
    corpus_add_byte(&bytes, 0);
    corpus_add(&bytes, message, count);
    corpus_write("question", name, &bytes);
}

static void make_questions(void) {
    unsigned char wait[SGP_WAIT_BYTES], passed[SGP_PASSED_BYTES];
    sgp_wait_encode(17, wait);
    make_question("wait", wait, sizeof wait);
    make_question("wait-cut", wait, sizeof wait - 1);
    sgp_passed_encode(&(sgp_passed_t){17, SGP_ANSWER_NOT_SENT, 19}, passed);
    make_question("passed", passed, sizeof passed);
    make_question("passed-cut", passed, sizeof passed - 1);
    passed[12] = 1;
    make_question("passed-reserved", passed, sizeof passed);
    passed[12] = 0;
    passed[8] = SGP_ANSWER_LAST + 1;
    make_question("passed-unknown", passed, sizeof passed);
}

int main(int argc, char **argv) {
    check = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (argc != 2 + check) {
        fprintf(stderr, "usage: make_corpus [--check] FOLDER\n");
        return 2;
    }
    root = argv[argc - 1];
    make_handshakes();
    make_records();
    make_chunks();
    make_streams();
    make_endpoints();
    make_enters();
    make_views();
    make_agree_calls();
    make_agree_losses();
    make_agree_refused();
    make_questions();
    corpus_make_data();
    corpus_make_codec();
    corpus_make_status();
    corpus_make_blocks();
    corpus_make_requests();
    return failed;
}
