/* SPDX-License-Identifier: Apache-2.0 */
/* One side of a handshake, whose other side is the input:
 *     switches, seed of the pieces, then the bytes of the other side.
 * The digest is computed here once more, as a check on the machine and to get past it. Where there is a key, the Noise messages and
 * sealed verdicts of the other side are made here, of the hello and the verdict in the input; or they are the input itself. */
#include "fuzz.h"

#include "wire/handshake.h"
#include "wire/header.h"

#include <sodium.h>

enum {
    AS_CALLER = 0x02,
    KEYED = 0x04,
    REPAIR_HELLO = 0x08, /* magic, versions, keyed */
    REFUSE = 0x10,       /* a proven peer */
    ECHO = 0x20,         /* our own hello comes back */
    SLOW = 0x40,         /* our bytes are sent in pieces */
};

enum { AT_VERSION = 8, AT_MESSAGES = 10, AT_KEYED = 12, AT_PURPOSE = 13, AT_RANK = 16 };
enum { AT_SIZE = 20, AT_RUN = 24, AT_FINGERPRINT = 32, AT_INCARNATION = 64, AT_CAPACITY = 68 };

enum {
    PLAIN = SGP_HELLO_BYTES + SGP_PROOF_BYTES + SGP_VERDICT_BYTES,
    SEALED_VERDICT = SGP_VERDICT_BYTES + SGP_NOISE_TAG,
    ROOM = SGP_HELLO_BYTES + SGP_OPENING_BYTES + SEALED_VERDICT, /* where there is a key */
};

typedef struct side {
    unsigned switches;
    sgp_handshake_t machine;
    sgp_key_t key;
    fuzz_pieces_t pieces;
    unsigned char said[ROOM]; /* by the state machine */
    size_t said_bytes;
    unsigned char heard[ROOM]; /* by the state machine */
    size_t heard_bytes;
    unsigned char hello[SGP_HELLO_BYTES]; /* of the other side, whole */
    sgp_noise_t noise;                    /* of the other side */
    unsigned char session[2][SGP_NOISE_KEY];
} side_t;

/* ---- nonces that are the same in each run ---- */

static uint32_t nonce;

static const char *source_name(void) {
    return "fuzz";
}

static uint32_t source_random(void) {
    return nonce++;
}

static void source_fill(void *const to, const size_t bytes) {
    unsigned char *at = to;
    for (size_t i = 0; i < bytes; i++) at[i] = (unsigned char)(nonce + i);
    nonce += 101;
}

static void use_fixed_nonces(void) {
    static randombytes_implementation source;
    nonce = 1;
    if (source.buf) return;
    source = (randombytes_implementation){
        .implementation_name = source_name, .random = source_random, .buf = source_fill};
    FUZZ_CHECK(randombytes_set_implementation(&source) == 0);
}

/* ---- the protocol, a second time ---- */

static uint64_t number(const unsigned char *at, int bytes) {
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | at[bytes];
    return value;
}

/* The digest that the other side owes, over both hellos, the caller's first. */
static void digest(const side_t *side, const unsigned char *caller, const unsigned char *answerer,
                   unsigned char result[SGP_PROOF_BYTES]) {
    const char *label = side->switches & AS_CALLER ? "sgp proof 1 answerer" : "sgp proof 1 caller";
    unsigned char text[20 + 2 * SGP_HELLO_BYTES];
    size_t length = strlen(label);
    memcpy(text, label, length);
    memcpy(text + length, caller, SGP_HELLO_BYTES);
    memcpy(text + length + SGP_HELLO_BYTES, answerer, SGP_HELLO_BYTES);
    crypto_generichash(result, SGP_PROOF_BYTES, text, length + 2 * SGP_HELLO_BYTES, NULL, 0);
}

/* The digest for our own hello and `hello`. */
static void right_digest(const side_t *side, const unsigned char *hello, unsigned char *result) {
    if (side->switches & AS_CALLER) digest(side, side->said, hello, result);
    else digest(side, hello, side->said, result);
}

static void repair_hello(side_t *side, unsigned char *hello) {
    if (side->switches & ECHO) memcpy(hello, side->said, SGP_HELLO_BYTES);
    if (side->switches & REPAIR_HELLO) {
        memcpy(hello, "sgphello", 8);
        hello[AT_VERSION] = SGP_HANDSHAKE_VERSION;
        hello[AT_MESSAGES] = SGP_HEADER_VERSION;
        hello[AT_VERSION + 1] = hello[AT_MESSAGES + 1] = 0;
        hello[AT_KEYED] = (side->switches & KEYED) != 0;
    }
    memcpy(side->hello, hello, SGP_HELLO_BYTES);
    if (!(side->switches & KEYED) || !(side->switches & FUZZ_REPAIR)) return;
    memset(hello + AT_PURPOSE, 0, 40 - AT_PURPOSE); /* what is not shown */
    memset(hello + AT_INCARNATION, 0, SGP_HELLO_BYTES - AT_INCARNATION);
}

static void split(side_t *side) {
    sgp_noise_split(&side->noise, side->session[1], side->session[0]);
}

/* The Noise message of the other side. */
static void make_noise(side_t *side, unsigned char *message) {
    unsigned char theirs[SGP_HELLO_BYTES];
    bool responds = side->switches & AS_CALLER;
    const unsigned char *first = responds ? side->said : side->heard;
    sgp_noise_init(&side->noise, !responds, side->key.bytes, first, SGP_HELLO_BYTES, NULL);
    if (responds)
        FUZZ_CHECK(
            sgp_noise_read(&side->noise, side->said + SGP_HELLO_BYTES, SGP_HELLO_BYTES, theirs));
    FUZZ_CHECK(sgp_noise_write(&side->noise, side->hello, SGP_HELLO_BYTES, message));
    if (responds) split(side);
}

static void seal_verdict(side_t *side, unsigned char *message) {
    unsigned char theirs[SGP_HELLO_BYTES], verdict[SGP_VERDICT_BYTES];
    bool responds = side->switches & AS_CALLER;
    if (!responds) {
        FUZZ_CHECK(
            sgp_noise_read(&side->noise, side->said + SGP_HELLO_BYTES, SGP_HELLO_BYTES, theirs));
        split(side);
    }
    memcpy(verdict, message, sizeof verdict);
    sgp_noise_seal(side->session[!responds], 0, NULL, 0, verdict, sizeof verdict, message);
}

/* A complete message to the state machine, as the protocol has it at this point. */
static void repair(side_t *side, unsigned char *message) {
    bool fix = side->switches & FUZZ_REPAIR;
    if (side->heard_bytes == 0) repair_hello(side, message);
    else if (!fix) return;
    else if (!(side->switches & KEYED)) {
        if (side->heard_bytes == SGP_HELLO_BYTES) right_digest(side, side->hello, message);
    } else if (side->heard_bytes == SGP_HELLO_BYTES) make_noise(side, message);
    else if (side->said_bytes >= SGP_HELLO_BYTES + SGP_OPENING_BYTES) seal_verdict(side, message);
}

/* ---- properties ---- */

static void check_proven(const side_t *side) {
    const unsigned char *hello = side->hello;
    const sgp_hello_t *theirs = &side->machine.theirs;
    unsigned char right[SGP_PROOF_BYTES];
    right_digest(side, hello, right);
    if (side->switches & KEYED) FUZZ_CHECK(side->switches & FUZZ_REPAIR); /* nobody guesses it */
    else FUZZ_CHECK(memcmp(side->heard + SGP_HELLO_BYTES, right, sizeof right) == 0);
    FUZZ_CHECK(memcmp(hello, "sgphello", 8) == 0);
    FUZZ_CHECK((hello[AT_KEYED] != 0) == ((side->switches & KEYED) != 0));
    FUZZ_CHECK((int)theirs->purpose == hello[AT_PURPOSE]);
    FUZZ_CHECK(theirs->purpose >= SGP_PURPOSE_JOIN && theirs->purpose <= SGP_PURPOSE_LAST);
    FUZZ_CHECK((uint32_t)theirs->rank == number(hello + AT_RANK, 4));
    FUZZ_CHECK((uint32_t)theirs->size == number(hello + AT_SIZE, 4));
    FUZZ_CHECK(theirs->run == number(hello + AT_RUN, 8));
    FUZZ_CHECK(theirs->fingerprint == number(hello + AT_FINGERPRINT, 8));
    FUZZ_CHECK(theirs->incarnation == number(hello + AT_INCARNATION, 4));
    FUZZ_CHECK((uint32_t)theirs->capacity == number(hello + AT_CAPACITY, 4));
    FUZZ_CHECK(fuzz_is_text(theirs->version, sizeof theirs->version));
    FUZZ_CHECK(!(side->switches & ECHO) || side->switches & KEYED);
}

/* What is right is not refused as wrong. */
static void check_refused(const side_t *side) {
    const sgp_handshake_t *machine = &side->machine;
    unsigned char right[SGP_PROOF_BYTES];
    FUZZ_CHECK(machine->reason[0]);
    FUZZ_CHECK(fuzz_is_text(machine->reason, sizeof machine->reason));
    if (machine->refused_by_them) return;
    if (strcmp(machine->reason, "it has another key") == 0)
        FUZZ_CHECK(!(side->switches & FUZZ_REPAIR));
    if (strcmp(machine->reason, "its proof is damaged") != 0) return;
    right_digest(side, side->hello, right);
    FUZZ_CHECK(memcmp(side->heard + SGP_HELLO_BYTES, right, sizeof right) != 0);
}

static void check_end(side_t *side) {
    sgp_handshake_t *machine = &side->machine;
    sgp_seals_t seals;
    size_t wanted, all = side->switches & KEYED ? ROOM : PLAIN;
    if (sgp_handshake_state(machine) == SGP_HANDSHAKE_RUNNING) return;
    sgp_handshake_place(machine, &wanted);
    FUZZ_CHECK(wanted == 0);
    if (sgp_handshake_state(machine) == SGP_HANDSHAKE_DONE) {
        check_proven(side);
        FUZZ_CHECK(!(side->switches & REFUSE));
        FUZZ_CHECK(side->said_bytes == all && side->heard_bytes == all);
        FUZZ_CHECK(sgp_handshake_seals(machine, &seals));
        FUZZ_CHECK((seals.out != NULL) == ((side->switches & KEYED) != 0));
        sgp_seals_destroy(&seals);
    } else check_refused(side);
    FUZZ_CHECK(!machine->secrets); /* forgotten */
}

/* ---- the flow ---- */

static void listen_to_machine(side_t *side) {
    size_t bytes;
    for (const void *out; (out = sgp_handshake_pending(&side->machine, &bytes)), bytes;) {
        if (side->switches & SLOW) bytes = fuzz_piece(&side->pieces, bytes);
        FUZZ_CHECK(side->said_bytes + bytes <= ROOM);
        memcpy(side->said + side->said_bytes, out, bytes);
        side->said_bytes += bytes;
        sgp_handshake_sent(&side->machine, bytes);
    }
    bool answered = side->said_bytes > 0 && !(side->switches & AS_CALLER);
    if (answered) FUZZ_CHECK(memcmp(side->heard, "sgphello", 8) == 0);
}

static void judge(side_t *side) {
    if (sgp_handshake_state(&side->machine) != SGP_HANDSHAKE_JUDGE) return;
    check_proven(side);
    if (side->switches & REFUSE) sgp_handshake_refuse(&side->machine, "not %s", "wanted");
    else sgp_handshake_accept(&side->machine);
}

static void tell_machine(side_t *side, const unsigned char *message, size_t bytes) {
    size_t wanted, done = 0;
    while (done < bytes) {
        void *place = sgp_handshake_place(&side->machine, &wanted);
        FUZZ_CHECK(wanted >= bytes - done);
        size_t now = fuzz_piece(&side->pieces, bytes - done);
        memcpy(place, message + done, now);
        memcpy(side->heard + side->heard_bytes, message + done, now);
        side->heard_bytes += now;
        done += now;
        sgp_handshake_received(&side->machine, now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    static side_t side;
    use_fixed_nonces();
    memset(&side, 0, sizeof side);
    side.switches = fuzz_byte(&input);
    side.pieces.state = fuzz_byte(&input);
    FUZZ_CHECK(sgp_key_make("the secret of the fuzzer", 24, &side.key) == SGP_OK);
    sgp_hello_t mine = {.purpose = SGP_PURPOSE_LINK,
                        .rank = 1,
                        .size = 4,
                        .run = 7,
                        .fingerprint = 9,
                        .version = "1.2.3"};
    sgp_handshake_init(&side.machine, side.switches & AS_CALLER, &mine,
                       side.switches & KEYED ? &side.key : NULL);
    for (int messages = 0; messages < 4; messages++) {
        unsigned char message[ROOM];
        size_t wanted;
        judge(&side);
        listen_to_machine(&side);
        sgp_handshake_place(&side.machine, &wanted);
        FUZZ_CHECK(wanted <= ROOM - side.heard_bytes);
        size_t bytes = fuzz_take(&input, message, wanted);
        if (bytes > 0 && bytes == wanted) repair(&side, message);
        tell_machine(&side, message, bytes);
    }
    judge(&side);
    listen_to_machine(&side);
    check_end(&side);
    sgp_handshake_fini(&side.machine);
    return 0;
}
