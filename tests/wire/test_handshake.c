/* SPDX-License-Identifier: Apache-2.0 */
/* Two sides that talk through the test, which may change, cut, repeat and record their bytes. */
#include "cmocka_all.h"

#include "wire/handshake.h"
#include "wire/header.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const sgp_hello_t caller_hello = {.purpose = SGP_PURPOSE_LINK,
                                         .rank = 3,
                                         .size = 8,
                                         .run = 0x1122334455667788u,
                                         .fingerprint = 77,
                                         .incarnation = 0xfedcba98u,
                                         .capacity = 16,
                                         .version = "1.2.3"};
static const sgp_hello_t answerer_hello = {.purpose = SGP_PURPOSE_LINK,
                                           .rank = 5,
                                           .size = 8,
                                           .run = 0x1122334455667788u,
                                           .fingerprint = 77,
                                           .version = "1.2.4"};

enum { ROOM = 1024, SEALED = SGP_VERDICT_BYTES + SGP_NOISE_TAG };

/* The bytes that one side has sent so far. */
typedef struct tape {
    unsigned char bytes[ROOM];
    size_t length;
} tape_t;

static sgp_key_t key_of(const char *secret) {
    sgp_key_t key;
    assert_int_equal(sgp_key_make(secret, strlen(secret), &key), SGP_OK);
    return key;
}

/* What the test does to the bytes: flips one bit, delivers `piece` bytes at a time. */
typedef struct mischief {
    int flip_side; /* 0: of the caller's bytes, 1: of the answerer's, -1: none */
    size_t flip_bit;
    size_t piece; /* 0: all */
    bool refuse[2];
} mischief_t;

static void judge(sgp_handshake_t *side, bool refuse) {
    if (sgp_handshake_state(side) != SGP_HANDSHAKE_JUDGE) return;
    if (refuse) sgp_handshake_refuse(side, "rank %d is not wanted", side->theirs.rank);
    else sgp_handshake_accept(side);
}

/* Records the pending bytes of a side on its tape, with the bit flipped. */
static bool speak(sgp_handshake_t *side, tape_t *tape, const mischief_t *mischief, int number) {
    size_t bytes;
    const void *said = sgp_handshake_pending(side, &bytes);
    assert_true(tape->length + bytes <= ROOM);
    memcpy(tape->bytes + tape->length, said, bytes);
    if (mischief->flip_side == number && mischief->flip_bit / 8 >= tape->length &&
        mischief->flip_bit / 8 < tape->length + bytes)
        tape->bytes[mischief->flip_bit / 8] ^= (unsigned char)(1 << mischief->flip_bit % 8);
    tape->length += bytes;
    sgp_handshake_sent(side, bytes);
    return bytes > 0;
}

/* Delivers the awaited bytes of a tape, from *at on. false: none were awaited, or none are left. */
static bool hear(sgp_handshake_t *side, const tape_t *tape, size_t *at, size_t piece) {
    size_t wanted;
    void *place = sgp_handshake_place(side, &wanted);
    if (piece && wanted > piece) wanted = piece;
    if (wanted > tape->length - *at) wanted = tape->length - *at;
    if (!wanted) return false;
    memcpy(place, tape->bytes + *at, wanted);
    *at += wanted;
    sgp_handshake_received(side, wanted);
    return true;
}

static void talk(sgp_handshake_t sides[2], tape_t tapes[2], const mischief_t *mischief) {
    size_t heard[2] = {0, 0};
    for (bool moved = true; moved;) {
        moved = false;
        for (int s = 0; s < 2; s++) {
            judge(&sides[s], mischief->refuse[s]);
            moved |= speak(&sides[s], &tapes[s], mischief, s);
            moved |= hear(&sides[s], &tapes[!s], &heard[s], mischief->piece);
        }
    }
}

static void begin(sgp_handshake_t sides[2], const sgp_key_t *caller, const sgp_key_t *answerer) {
    sgp_handshake_init(&sides[0], true, &caller_hello, caller);
    sgp_handshake_init(&sides[1], false, &answerer_hello, answerer);
}

static const mischief_t none = {.flip_side = -1};

static void check_theirs(const sgp_hello_t *found, const sgp_hello_t *right) {
    assert_int_equal(found->purpose, right->purpose);
    assert_int_equal(found->rank, right->rank);
    assert_int_equal(found->size, right->size);
    assert_true(found->run == right->run);
    assert_true(found->fingerprint == right->fingerprint);
    assert_int_equal(found->incarnation, right->incarnation);
    assert_int_equal(found->capacity, right->capacity);
    assert_string_equal(found->version, right->version);
}

static void test_both_accept(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    for (int keyed = 0; keyed < 2; keyed++)
        for (size_t piece = 0; piece < 3; piece++) {
            sgp_handshake_t sides[2];
            tape_t tapes[2] = {0};
            mischief_t slow = none;
            slow.piece = piece;
            begin(sides, keyed ? &key : NULL, keyed ? &key : NULL);
            talk(sides, tapes, &slow);
            for (int s = 0; s < 2; s++)
                assert_int_equal(sgp_handshake_state(&sides[s]), SGP_HANDSHAKE_DONE);
            check_theirs(&sides[0].theirs, &answerer_hello);
            check_theirs(&sides[1].theirs, &caller_hello);
        }
}

/* Different keys are refused, both sides know why, and no proof goes to a side without a key. */
static void test_keys(void **state) {
    (void)state;
    sgp_key_t a = key_of("a secret of 23 bytes..."), b = key_of("a secret of 23 bytes..!");
    const struct {
        const sgp_key_t *caller, *answerer;
        const char *reasons[2];
    } cases[] = {
        {&a, NULL, {"it has no key, and here one is needed", "it has a key, and here is none"}},
        {NULL, &a, {"it has a key, and here is none", "it has no key, and here one is needed"}},
        {&a, &b, {"it has another key", "it has another key"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgp_handshake_t sides[2];
        tape_t tapes[2] = {0};
        begin(sides, cases[i].caller, cases[i].answerer);
        talk(sides, tapes, &none);
        for (int s = 0; s < 2; s++) {
            assert_int_equal(sgp_handshake_state(&sides[s]), SGP_HANDSHAKE_REFUSED);
            assert_string_equal(sides[s].reason, cases[i].reasons[s]);
        }
    }
    unsigned char nothing[SGP_PROOF_BYTES] = {0};
    sgp_handshake_t sides[2];
    tape_t tapes[2] = {0};
    begin(sides, NULL, &a);
    talk(sides, tapes, &none);
    assert_int_equal(tapes[1].length, SGP_HELLO_BYTES + SGP_PROOF_BYTES);
    assert_memory_equal(tapes[1].bytes + SGP_HELLO_BYTES, nothing, sizeof nothing);
}

/* A refusal reaches the other side with its reason. */
static void test_refusals(void **state) {
    (void)state;
    for (int who = 0; who < 2; who++) {
        sgp_handshake_t sides[2];
        tape_t tapes[2] = {0};
        mischief_t refusing = none;
        refusing.refuse[who] = true;
        begin(sides, NULL, NULL);
        talk(sides, tapes, &refusing);
        char reason[64];
        snprintf(reason, sizeof reason, "rank %d is not wanted", who ? 3 : 5);
        for (int s = 0; s < 2; s++) {
            assert_int_equal(sgp_handshake_state(&sides[s]), SGP_HANDSHAKE_REFUSED);
            assert_string_equal(sides[s].reason, reason);
            assert_int_equal(sides[s].refused_by_them, s != who);
        }
    }
}

/* A flipped bit anywhere: its receiver does not accept, and no side is taken for another. A refusal
 * never becomes an acceptance. */
static void check_every_bit(const sgp_key_t *key, const mischief_t *as) {
    tape_t whole[2] = {0};
    sgp_handshake_t sides[2];
    begin(sides, key, key);
    talk(sides, whole, as);
    for (int side = 0; side < 2; side++)
        for (size_t bit = 0; bit < 8 * whole[side].length; bit++) {
            tape_t tapes[2] = {0};
            mischief_t flip = *as;
            flip.flip_side = side;
            flip.flip_bit = bit;
            begin(sides, key, key);
            talk(sides, tapes, &flip);
            bool refused = as->refuse[0] || as->refuse[1];
            assert_int_not_equal(sgp_handshake_state(&sides[!side]), SGP_HANDSHAKE_DONE);
            for (int s = 0; s < 2; s++) {
                if (sgp_handshake_state(&sides[s]) != SGP_HANDSHAKE_DONE) continue;
                assert_false(refused);
                check_theirs(&sides[s].theirs, s ? &caller_hello : &answerer_hello);
            }
        }
}

static void test_every_bit(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    for (int who = -1; who < 2; who++) {
        mischief_t as = none;
        if (who >= 0) as.refuse[who] = true;
        check_every_bit(&key, &as);
        check_every_bit(NULL, &as);
    }
}

/* A caller that refuses sends no proof, so no one in between can turn it into an acceptance. */
static void test_refusal_is_no_proof(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    sgp_handshake_t sides[2];
    tape_t tapes[2] = {0};
    begin(sides, &key, &key);
    size_t heard[2] = {0, 0};
    speak(&sides[0], &tapes[0], &none, 0);
    while (hear(&sides[1], &tapes[0], &heard[1], 0)) {
    }
    speak(&sides[1], &tapes[1], &none, 1);
    while (hear(&sides[0], &tapes[1], &heard[0], 0)) {
    }
    sgp_handshake_refuse(&sides[0], "not wanted");
    speak(&sides[0], &tapes[0], &none, 0);
    memset(tapes[0].bytes + SGP_HELLO_BYTES + SGP_OPENING_BYTES, 0, SGP_VERDICT_BYTES);
    hear(&sides[1], &tapes[0], &heard[1], 0);
    assert_int_equal(sgp_handshake_state(&sides[1]), SGP_HANDSHAKE_REFUSED);
}

/* Of a longer stream it reads its own bytes and no more; a stream that is cut decides nothing. */
static void test_its_own_bytes(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    tape_t whole[2] = {0};
    sgp_handshake_t sides[2];
    begin(sides, &key, &key);
    talk(sides, whole, &none);
    assert_int_equal(whole[0].length, SGP_HELLO_BYTES + SGP_OPENING_BYTES + SEALED);
    assert_int_equal(whole[1].length, SGP_HELLO_BYTES + SGP_OPENING_BYTES + SEALED);
    for (int s = 0; s < 2; s++) {
        size_t wanted;
        sgp_handshake_place(&sides[s], &wanted);
        assert_int_equal(wanted, 0);
    }
    for (size_t length = 0; length < whole[0].length; length++) {
        tape_t tapes[2] = {0};
        size_t heard[2] = {0, 0};
        begin(sides, &key, &key);
        for (int round = 0; round < 4; round++) {
            judge(&sides[0], false);
            judge(&sides[1], false);
            speak(&sides[0], &tapes[0], &none, 0);
            if (tapes[0].length > length) tapes[0].length = length;
            hear(&sides[1], &tapes[0], &heard[1], 0);
            speak(&sides[1], &tapes[1], &none, 1);
            hear(&sides[0], &tapes[1], &heard[0], 0);
        }
        assert_int_equal(heard[1], length);
        for (int s = 0; s < 2; s++)
            assert_int_equal(sgp_handshake_state(&sides[s]), SGP_HANDSHAKE_RUNNING);
    }
}

/* A handshake that has ended, either way, or was abandoned has erased what is secret; after a good end once the seals are
 * made. */
static void test_keys_are_forgotten(void **state) {
    (void)state;
    sgp_key_t a = key_of("a secret of 23 bytes..."), b = key_of("a secret of 23 bytes..!");
    for (int fails = 0; fails < 2; fails++) {
        sgp_handshake_t sides[2];
        tape_t tapes[2] = {0};
        begin(sides, &a, fails ? &b : &a);
        talk(sides, tapes, &none);
        for (int s = 0; s < 2; s++) {
            sgp_seals_t seals;
            if (!fails) assert_true(sgp_handshake_seals(&sides[s], &seals));
            assert_null(sides[s].secrets);
            if (!fails) sgp_seals_destroy(&seals);
        }
    }
    sgp_handshake_t side;
    sgp_handshake_init(&side, true, &caller_hello, &a);
    sgp_handshake_fini(&side);
    assert_null(side.secrets);
}

/* A recording of a good caller is worth nothing later. */
static void test_replay(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    sgp_handshake_t sides[2];
    tape_t tapes[2] = {0};
    begin(sides, &key, &key);
    talk(sides, tapes, &none);
    sgp_handshake_t fresh;
    size_t at = 0, bytes;
    sgp_handshake_init(&fresh, false, &answerer_hello, &key);
    while (hear(&fresh, &tapes[0], &at, 0)) {
        sgp_handshake_pending(&fresh, &bytes);
        sgp_handshake_sent(&fresh, bytes);
    }
    assert_int_equal(sgp_handshake_state(&fresh), SGP_HANDSHAKE_REFUSED);
    /* Nor is one of a good answerer, for another caller. */
    sgp_handshake_init(&fresh, true, &caller_hello, &key);
    at = 0;
    while (hear(&fresh, &tapes[1], &at, 0)) {
    }
    assert_int_equal(sgp_handshake_state(&fresh), SGP_HANDSHAKE_REFUSED);
}

/* A caller is not fooled by its own bytes, whichever way they are sent back. */
static void test_reflection(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    for (int keyed = 0; keyed < 2; keyed++) {
        sgp_handshake_t caller;
        tape_t tape = {0};
        sgp_handshake_init(&caller, true, &caller_hello, keyed ? &key : NULL);
        speak(&caller, &tape, &none, 0);
        if (!keyed) { /* the digest that a node would make of these bytes */
            unsigned char text[20 + 2 * SGP_HELLO_BYTES];
            memcpy(text, "sgp proof 1 answerer", 20);
            memcpy(text + 20, tape.bytes, SGP_HELLO_BYTES);
            memcpy(text + 20 + SGP_HELLO_BYTES, tape.bytes, SGP_HELLO_BYTES);
            crypto_generichash(tape.bytes + tape.length, SGP_PROOF_BYTES, text, sizeof text, NULL,
                               0);
            tape.length += SGP_PROOF_BYTES;
        }
        size_t at = 0;
        while (hear(&caller, &tape, &at, 0)) {
        }
        assert_int_equal(sgp_handshake_state(&caller), SGP_HANDSHAKE_REFUSED);
        assert_string_equal(caller.reason,
                            keyed ? "it has another key" : "it sends our own hello back");
    }
}

/* The answer with that purpose to a caller's first bytes, by the header of wire/handshake.h. Fields that a hello shows with a
 * key are before byte 13, and the version. */
static void make_answer(const tape_t *asked, const sgp_key_t *key, int purpose, bool shows_all,
                        tape_t *answer) {
    sgp_noise_t noise;
    unsigned char hello[SGP_HELLO_BYTES], *shown = answer->bytes;
    sgp_noise_init(&noise, false, key->bytes, asked->bytes, SGP_HELLO_BYTES, NULL);
    assert_true(sgp_noise_read(&noise, asked->bytes + SGP_HELLO_BYTES, SGP_HELLO_BYTES, hello));
    hello[13] = (unsigned char)purpose;
    hello[SGP_HELLO_BYTES - 1] ^= 1; /* a nonce of its own */
    memcpy(shown, hello, SGP_HELLO_BYTES);
    if (!shows_all) {
        memset(shown + 13, 0, 40 - 13);
        memset(shown + 64, 0, SGP_HELLO_BYTES - 64);
    }
    assert_true(sgp_noise_write(&noise, hello, sizeof hello, answer->bytes + SGP_HELLO_BYTES));
    answer->length = SGP_HELLO_BYTES + SGP_OPENING_BYTES;
}

/* An answer made here is accepted; one for another purpose is not, nor one that shows another hello than it means. */
static void test_purposes(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    const struct {
        int purpose;
        bool shows_all;
        const char *reason; /* NULL: accepted */
    } cases[] = {
        {SGP_PURPOSE_LINK, false, NULL},
        {SGP_PURPOSE_LINK, true, "its hello was altered on the way"},
        {SGP_PURPOSE_JOIN, false, "it answers for another purpose"},
        {0, false, "unknown purpose 0"},
        {SGP_PURPOSE_LAST + 1, false, "unknown purpose 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sgp_handshake_t caller;
        tape_t asked = {0}, answer = {0};
        size_t at = 0;
        sgp_handshake_init(&caller, true, &caller_hello, &key);
        speak(&caller, &asked, &none, 0);
        make_answer(&asked, &key, cases[i].purpose, cases[i].shows_all, &answer);
        while (hear(&caller, &answer, &at, 0)) {
        }
        assert_int_equal(sgp_handshake_state(&caller),
                         cases[i].reason ? SGP_HANDSHAKE_REFUSED : SGP_HANDSHAKE_JUDGE);
        if (cases[i].reason) assert_string_equal(caller.reason, cases[i].reason);
        sgp_handshake_fini(&caller);
    }
}

/* What tells nothing to somebody without the key: neither rank nor run are in the clear. */
static void test_the_hello_is_hidden(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    for (int keyed = 0; keyed < 2; keyed++) {
        sgp_handshake_t sides[2];
        tape_t tapes[2] = {0};
        begin(sides, keyed ? &key : NULL, keyed ? &key : NULL);
        talk(sides, tapes, &none);
        for (int s = 0; s < 2; s++) {
            bool shows = memmem(tapes[s].bytes, tapes[s].length, &caller_hello.run, 8) != NULL;
            assert_int_equal(shows, !keyed);
        }
    }
}

/* Both sides choose the same, whoever calls; and what cannot go together is refused by both. */
static void check_encryption(sgp_encryption_t caller, sgp_encryption_t answerer, bool same,
                             int encrypted /* -1: refused */) {
    sgp_key_t key = key_of("a secret of 23 bytes...");
    sgp_hello_t hellos[2] = {caller_hello, answerer_hello};
    sgp_handshake_t sides[2];
    sgp_seals_t seals[2];
    tape_t tapes[2] = {0};
    unsigned char record[8 + SGP_SEAL_OVERHEAD], back[8];
    hellos[0].encryption = caller;
    hellos[1].encryption = answerer;
    hellos[0].machine = 5;
    hellos[1].machine = same ? 5 : 6;
    sgp_handshake_init(&sides[0], true, &hellos[0], &key);
    sgp_handshake_init(&sides[1], false, &hellos[1], &key);
    talk(sides, tapes, &none);
    for (int s = 0; s < 2; s++) {
        assert_int_equal(sgp_handshake_state(&sides[s]),
                         encrypted < 0 ? SGP_HANDSHAKE_REFUSED : SGP_HANDSHAKE_DONE);
        if (encrypted < 0) assert_non_null(strstr(sides[s].reason, "encryption"));
        else assert_true(sgp_handshake_seals(&sides[s], &seals[s]));
    }
    for (int s = 0; s < 2 && encrypted >= 0; s++) {
        assert_int_equal(seals[s].encrypted, encrypted);
        assert_true(sgp_seal_close(seals[s].out, "contents", 8, record));
        assert_true(sgp_seal_open(seals[!s].in, record, record + SGP_SEAL_HEAD, 8, back));
        assert_memory_equal(back, "contents", 8);
        assert_int_equal(memcmp(record + SGP_SEAL_HEAD, "contents", 8) != 0, encrypted);
    }
    for (int s = 0; s < 2 && encrypted >= 0; s++) sgp_seals_destroy(&seals[s]);
}

static void test_encryption(void **state) {
    (void)state;
    static const struct {
        sgp_encryption_t caller, answerer;
        int here, there; /* inside of a machine, and between two */
    } rows[] = {
        {SGP_ENCRYPTION_AUTO, SGP_ENCRYPTION_AUTO, 0, 1},
        {SGP_ENCRYPTION_ON, SGP_ENCRYPTION_ON, 1, 1},
        {SGP_ENCRYPTION_OFF, SGP_ENCRYPTION_OFF, 0, 0},
        {SGP_ENCRYPTION_AUTO, SGP_ENCRYPTION_ON, 1, 1},
        {SGP_ENCRYPTION_AUTO, SGP_ENCRYPTION_OFF, 0, 0},
        {SGP_ENCRYPTION_ON, SGP_ENCRYPTION_OFF, -1, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int turned = 0; turned < 2; turned++)
            for (int same = 0; same < 2; same++)
                check_encryption(turned ? rows[i].answerer : rows[i].caller,
                                 turned ? rows[i].caller : rows[i].answerer, same,
                                 same ? rows[i].here : rows[i].there);
}

/* A caller that is not sgp gets no answer. */
static void test_strangers(void **state) {
    (void)state;
    sgp_handshake_t answerer;
    tape_t tape = {.length = SGP_HELLO_BYTES};
    memset(tape.bytes, ' ', sizeof tape.bytes);
    memcpy(tape.bytes, "GET / HTTP/1.1\r\n", 16);
    size_t at = 0, bytes;
    sgp_handshake_init(&answerer, false, &answerer_hello, NULL);
    while (hear(&answerer, &tape, &at, 0)) {
    }
    assert_int_equal(sgp_handshake_state(&answerer), SGP_HANDSHAKE_REFUSED);
    assert_string_equal(answerer.reason, "it is not sgp");
    sgp_handshake_pending(&answerer, &bytes);
    assert_int_equal(bytes, 0);
}

/* Another protocol version, of the handshake or of the messages: both sides name the two versions of
 * the program, and no proof is sent. */
static void test_versions(void **state) {
    (void)state;
    sgp_key_t key = key_of("a secret of 23 bytes...");
    const unsigned char nothing[SGP_PROOF_BYTES] = {0};
    const size_t at_versions[] = {8, 10};
    for (size_t i = 0; i < sizeof at_versions / sizeof *at_versions; i++) {
        sgp_handshake_t sides[2];
        tape_t tapes[2] = {0};
        begin(sides, &key, &key);
        /* The hello of another version. */
        sides[0].hello[0][at_versions[i]] ^= 0x40;
        sides[0].out[at_versions[i]] ^= 0x40;
        talk(sides, tapes, &none);
        for (int s = 0; s < 2; s++)
            assert_int_equal(sgp_handshake_state(&sides[s]), SGP_HANDSHAKE_REFUSED);
        assert_string_equal(sides[1].reason,
                            "it runs sgp 1.2.3, whose protocol is not that of sgp 1.2.4 here");
        assert_string_equal(sides[0].reason,
                            "it runs sgp 1.2.4, whose protocol is not that of sgp 1.2.3 here");
        assert_int_equal(tapes[1].length, SGP_HELLO_BYTES + SGP_PROOF_BYTES);
        assert_memory_equal(tapes[1].bytes + SGP_HELLO_BYTES, nothing, sizeof nothing);
    }
}

/* A peer's text in our log has no control characters. */
static void test_reasons_are_printable(void **state) {
    (void)state;
    sgp_handshake_t sides[2];
    tape_t tapes[2] = {0};
    begin(sides, NULL, NULL);
    size_t heard[2] = {0, 0};
    speak(&sides[0], &tapes[0], &none, 0);
    hear(&sides[1], &tapes[0], &heard[1], 0);
    speak(&sides[1], &tapes[1], &none, 1);
    while (hear(&sides[0], &tapes[1], &heard[0], 0)) {
    }
    sgp_handshake_refuse(&sides[0], "bad \x1b[31m\n line");
    speak(&sides[0], &tapes[0], &none, 0);
    while (hear(&sides[1], &tapes[0], &heard[1], 0)) {
    }
    assert_int_equal(sgp_handshake_state(&sides[1]), SGP_HANDSHAKE_REFUSED);
    assert_string_equal(sides[1].reason, "bad ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_accept),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_the_hello_is_hidden),
        cmocka_unit_test(test_purposes),
        cmocka_unit_test(test_encryption),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_refusal_is_no_proof),
        cmocka_unit_test(test_its_own_bytes),
        cmocka_unit_test(test_keys_are_forgotten),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_reasons_are_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
