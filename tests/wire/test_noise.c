/* SPDX-License-Identifier: Apache-2.0 */
/* The Noise handshake, against a published test vector (cacophony.txt of the Haskell implementation Cacophony, which others
 * use as well). */
#include "cmocka_all.h"

#include "wire/noise.h"

#include <sodium.h>
#include <string.h>

enum { MOST = 128 };

typedef struct bytes {
    unsigned char at[MOST];
    size_t count;
} bytes_t;

static bytes_t from_hex(const char *hex) {
    bytes_t bytes = {.count = strlen(hex) / 2};
    size_t done = 0;
    assert_int_equal(sodium_hex2bin(bytes.at, sizeof bytes.at, hex, strlen(hex), NULL, &done, NULL),
                     0);
    assert_int_equal(done, bytes.count);
    return bytes;
}

#define PSK            "54686973206973206d7920417573747269616e20706572737065637469766521"
#define PROLOGUE       "4a6f686e2047616c74"
#define INITIATOR      "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"
#define RESPONDER      "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"
#define HANDSHAKE_HASH "f4d03dc34495c95729ea6de9e1b59004b59733102488b3e24bc441e0be208eaf"

/* Payloads and messages, in turn from the initiator and the responder. */
static const char *const vector[][2] = {
    {"4c756477696720766f6e204d69736573",
     "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
     "79b962b8aff8485742ac32f905ba45369e2465fb59e138a93d67a0d1266b6a54"},
    {"4d757272617920526f746862617264",
     "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843"
     "d6062704d5a9c422a8e834423f8c1feada7e8d0d910a1a2cd030fb584221e3"},
    {"462e20412e20486179656b", "e632c3763d7669067383433197a3baddf146e9e70ad4b4e9e59e0f"},
    {"4361726c204d656e676572", "64c6bee32ea91c8474bb4c21d7a700109ad45af77b29764ba5eb1e"},
    {"4a65616e2d426170746973746520536179",
     "e2fa0bed0603b62d3ccac2ecabbf3fe33f3e86514909b323361626266cb2471cc8"},
    {"457567656e2042f6686d20766f6e2042617765726b",
     "0c01dc9cec1fe4ddd692e8dd32188aa351088dc91183639a53b57aa4692b5ebdef8b8ca111"},
};

static void begin(sgp_noise_t sides[2], const char *psk_of_responder, const char *prologue) {
    bytes_t psk = from_hex(PSK), other = from_hex(psk_of_responder), seen = from_hex(PROLOGUE),
            seen_there = from_hex(prologue);
    assert_true(sodium_init() >= 0);
    sgp_noise_init(&sides[0], true, psk.at, seen.at, seen.count, from_hex(INITIATOR).at);
    sgp_noise_init(&sides[1], false, other.at, seen_there.at, seen_there.count,
                   from_hex(RESPONDER).at);
}

/* Message i, 0 or 1, and what the other side reads. */
static bool pass(sgp_noise_t sides[2], int i, bytes_t *message, bytes_t *read) {
    bytes_t payload = from_hex(vector[i][0]);
    message->count = payload.count + SGP_NOISE_OVERHEAD;
    read->count = payload.count;
    assert_true(sgp_noise_write(&sides[i], payload.at, payload.count, message->at));
    return sgp_noise_read(&sides[!i], message->at, read->count, read->at);
}

static void assert_bytes(const bytes_t *found, const char *hex) {
    bytes_t right = from_hex(hex);
    assert_int_equal(found->count, right.count);
    assert_memory_equal(found->at, right.at, right.count);
}

static void test_vector(void **state) {
    (void)state;
    sgp_noise_t sides[2];
    bytes_t message, read;
    unsigned char keys[2][2][SGP_NOISE_KEY];
    begin(sides, PSK, PROLOGUE);
    for (int i = 0; i < 2; i++) {
        assert_true(pass(sides, i, &message, &read));
        assert_bytes(&message, vector[i][1]);
        assert_bytes(&read, vector[i][0]);
    }
    for (int side = 0; side < 2; side++) {
        assert_memory_equal(sides[side].hash, from_hex(HANDSHAKE_HASH).at, SGP_NOISE_KEY);
        sgp_noise_split(&sides[side], keys[side][0], keys[side][1]);
    }
    assert_memory_equal(keys[0], keys[1], sizeof keys[0]);
    for (size_t i = 2; i < sizeof vector / sizeof *vector; i++) {
        bytes_t payload = from_hex(vector[i][0]), sealed = {.count = payload.count + SGP_NOISE_TAG};
        const unsigned char *key = keys[0][i % 2];
        uint64_t nonce = i / 2 - 1;
        sgp_noise_seal(key, nonce, NULL, 0, payload.at, payload.count, sealed.at);
        assert_bytes(&sealed, vector[i][1]);
        read.count = payload.count;
        assert_true(sgp_noise_open(key, nonce, NULL, 0, sealed.at, read.count, read.at));
        assert_bytes(&read, vector[i][0]);
        assert_false(sgp_noise_open(key, nonce + 1, NULL, 0, sealed.at, read.count, read.at));
        assert_false(
            sgp_noise_open(keys[0][(i + 1) % 2], nonce, NULL, 0, sealed.at, read.count, read.at));
    }
}

static void test_another_key_or_prologue(void **state) {
    (void)state;
    sgp_noise_t sides[2];
    bytes_t message, read;
    begin(sides, RESPONDER, PROLOGUE);
    assert_false(pass(sides, 0, &message, &read));
    begin(sides, PSK, PROLOGUE "00");
    assert_false(pass(sides, 0, &message, &read));
}

/* Any bit of either message. */
static void test_altered(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        size_t bits = 8 * (strlen(vector[i][1]) / 2);
        for (size_t bit = 0; bit < bits; bit++) {
            sgp_noise_t sides[2], before;
            bytes_t message, read;
            begin(sides, PSK, PROLOGUE);
            if (i == 1) assert_true(pass(sides, 0, &message, &read));
            before = sides[!i];
            assert_true(pass(sides, i, &message, &read));
            message.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
            assert_false(sgp_noise_read(&before, message.at, read.count, read.at));
        }
    }
}

/* Their public key must not fix the secret of both. */
static void test_low_order(void **state) {
    (void)state;
    sgp_noise_t sides[2];
    bytes_t message, read;
    unsigned char forged[MOST] = {0};
    begin(sides, PSK, PROLOGUE);
    assert_true(pass(sides, 0, &message, &read));
    memset(sides[1].theirs, 0, SGP_NOISE_KEY);
    assert_false(sgp_noise_write(&sides[1], "", 0, forged));
    memset(forged, 0, sizeof forged);
    assert_false(sgp_noise_read(&sides[0], forged, 0, read.at));
}

/* Nothing of a session is that of another one, though the key of the group is the same. */
static void test_fresh_keys(void **state) {
    (void)state;
    unsigned char keys[2][2][SGP_NOISE_KEY], first[2][SGP_NOISE_OVERHEAD];
    bytes_t psk = from_hex(PSK);
    for (int session = 0; session < 2; session++) {
        sgp_noise_t initiator, responder;
        unsigned char answer[SGP_NOISE_OVERHEAD];
        sgp_noise_init(&initiator, true, psk.at, "", 0, NULL);
        sgp_noise_init(&responder, false, psk.at, "", 0, NULL);
        assert_true(sgp_noise_write(&initiator, "", 0, first[session]));
        assert_true(sgp_noise_read(&responder, first[session], 0, answer));
        assert_true(sgp_noise_write(&responder, "", 0, answer));
        assert_true(sgp_noise_read(&initiator, answer, 0, answer));
        sgp_noise_split(&initiator, keys[session][0], keys[session][1]);
    }
    assert_memory_not_equal(first[0], first[1], SGP_NOISE_OVERHEAD);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(keys[i / 2][i % 2], keys[j / 2][j % 2], SGP_NOISE_KEY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector),     cmocka_unit_test(test_another_key_or_prologue),
        cmocka_unit_test(test_altered),    cmocka_unit_test(test_low_order),
        cmocka_unit_test(test_fresh_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
