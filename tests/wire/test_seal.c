/* SPDX-License-Identifier: Apache-2.0 */
/* Records, against libsodium's implementation of the same AEADs. */
#include "cmocka_all.h"

#include "wire/seal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { KEY = SGP_NOISE_KEY, SMALL = 100 };

typedef struct pair {
    sgp_seal_t *out, *in;
} pair_t;

static unsigned char key[KEY];

static pair_t make_pair(sgp_seal_cipher_t cipher, bool encrypts) {
    assert_true(sodium_init() >= 0);
    randombytes_buf(key, sizeof key);
    pair_t pair = {sgp_seal_create(key, cipher, encrypts, true),
                   sgp_seal_create(key, cipher, encrypts, false)};
    assert_non_null(pair.out);
    assert_non_null(pair.in);
    return pair;
}

static void free_pair(pair_t *pair) {
    sgp_seal_destroy(pair->out);
    sgp_seal_destroy(pair->in);
}

static bool open_record(sgp_seal_t *in, const unsigned char *record, size_t count, void *contents) {
    size_t bytes;
    return sgp_seal_measure(record, &bytes) && bytes == count &&
           sgp_seal_open(in, record, record + SGP_SEAL_HEAD, bytes, contents);
}

/* What libsodium makes of the contents; only_tag: they are authenticated, and not encrypted. */
static void by_sodium(sgp_seal_cipher_t cipher, bool encrypts, const unsigned char *record,
                      const unsigned char *contents, size_t bytes, const unsigned char *with_key,
                      uint64_t number, unsigned char *sealed) {
    unsigned char nonce[12] = {0}, *head = malloc(SGP_SEAL_HEAD + bytes);
    for (int i = 0; i < 8; i++) nonce[4 + i] = (unsigned char)(number >> 8 * i);
    size_t head_bytes = SGP_SEAL_HEAD, inside = bytes;
    memcpy(head, record, SGP_SEAL_HEAD);
    memcpy(head + SGP_SEAL_HEAD, contents, bytes);
    memcpy(sealed, contents, bytes);
    if (!encrypts) head_bytes += bytes, inside = 0;
    unsigned char *to = sealed + bytes - inside;
    if (cipher == SGP_SEAL_AES)
        crypto_aead_aes256gcm_encrypt(to, NULL, contents, inside, head, head_bytes, NULL, nonce,
                                      with_key);
    else
        crypto_aead_chacha20poly1305_ietf_encrypt(to, NULL, contents, inside, head, head_bytes,
                                                  NULL, nonce, with_key);
    free(head);
}

static void check_mode(sgp_seal_cipher_t cipher, bool encrypts) {
    static const size_t sizes[] = {0, 1, 15, 16, 17, 136, 4096, 65535, SGP_SEAL_MOST};
    unsigned char *contents = malloc(SGP_SEAL_MOST), *back = malloc(SGP_SEAL_MOST),
                  *record = malloc(SGP_SEAL_MOST + SGP_SEAL_OVERHEAD),
                  *sealed = malloc(SGP_SEAL_MOST + SGP_SEAL_TAG);
    pair_t pair = make_pair(cipher, encrypts);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t bytes = sizes[i];
        randombytes_buf(contents, bytes);
        assert_true(sgp_seal_close(pair.out, contents, bytes, record));
        by_sodium(cipher, encrypts, record, contents, bytes, key, i, sealed);
        assert_memory_equal(record + SGP_SEAL_HEAD, sealed, bytes + SGP_SEAL_TAG);
        if (!encrypts) assert_memory_equal(record + SGP_SEAL_HEAD, contents, bytes);
        else if (bytes > 8) assert_memory_not_equal(record + SGP_SEAL_HEAD, contents, bytes);
        assert_true(open_record(pair.in, record, bytes, back));
        assert_memory_equal(back, contents, bytes);
    }
    free_pair(&pair);
    free(contents);
    free(back);
    free(record);
    free(sealed);
}

static void for_all_modes(void (*check)(sgp_seal_cipher_t cipher, bool encrypts)) {
    assert_true(sodium_init() >= 0);
    for (int cipher = SGP_SEAL_AES; cipher <= SGP_SEAL_CHACHA; cipher++) {
        if (cipher == SGP_SEAL_AES && !crypto_aead_aes256gcm_is_available()) continue;
        for (int encrypts = 0; encrypts < 2; encrypts++)
            check((sgp_seal_cipher_t)cipher, encrypts != 0);
    }
}

static void test_there_and_back(void **state) {
    (void)state;
    for_all_modes(check_mode);
}

/* Any bit of a record, the head included. */
static void check_altered(sgp_seal_cipher_t cipher, bool encrypts) {
    unsigned char contents[SMALL], back[SMALL], record[SMALL + SGP_SEAL_OVERHEAD];
    memset(contents, 'a', sizeof contents);
    for (size_t bit = 0; bit < 8 * sizeof record; bit++) {
        pair_t pair = make_pair(cipher, encrypts);
        assert_true(sgp_seal_close(pair.out, contents, SMALL, record));
        record[bit / 8] ^= (unsigned char)(1u << bit % 8);
        size_t bytes;
        /* A receiver believes the length, and takes what comes next for the rest. */
        bool measured = sgp_seal_measure(record, &bytes);
        if (measured && bytes <= SMALL)
            assert_false(sgp_seal_open(pair.in, record, record + SGP_SEAL_HEAD, bytes, back));
        if (!measured) assert_true(bit < 32);
        free_pair(&pair);
    }
}

static void test_altered(void **state) {
    (void)state;
    for_all_modes(check_altered);
}

/* Repeated, left out, and sent back to where it came from. */
static void check_order(sgp_seal_cipher_t cipher, bool encrypts) {
    unsigned char back[SMALL], records[3][SMALL + SGP_SEAL_OVERHEAD];
    for (int wrong = 0; wrong < 3; wrong++) {
        pair_t pair = make_pair(cipher, encrypts);
        for (int i = 0; i < 3; i++) assert_true(sgp_seal_close(pair.out, "text", 4, records[i]));
        assert_true(open_record(pair.in, records[0], 4, back));
        if (wrong == 0) assert_false(open_record(pair.in, records[0], 4, back));
        if (wrong == 1) assert_false(open_record(pair.in, records[2], 4, back));
        if (wrong == 2) assert_true(open_record(pair.in, records[1], 4, back));
        free_pair(&pair);
    }
}

static void test_order(void **state) {
    (void)state;
    for_all_modes(check_order);
}

/* The next key is a hash of the one before. */
static void check_rekey(sgp_seal_cipher_t cipher, bool encrypts) {
    unsigned char record[SMALL + SGP_SEAL_OVERHEAD], sealed[SMALL + SGP_SEAL_TAG], back[SMALL],
        next[KEY];
    pair_t pair = make_pair(cipher, encrypts);
    crypto_auth_hmacsha256(next, (const unsigned char *)"sgp record key", 14, key);
    for (uint64_t i = 0; i <= SGP_SEAL_REKEY; i++) {
        assert_true(sgp_seal_close(pair.out, "next", 4, record));
        assert_true(open_record(pair.in, record, 4, back));
        if (i + 1 < SGP_SEAL_REKEY) continue;
        by_sodium(cipher, encrypts, record, (const unsigned char *)"next", 4,
                  i < SGP_SEAL_REKEY ? key : next, i, sealed);
        assert_memory_equal(record + SGP_SEAL_HEAD, sealed, 4 + SGP_SEAL_TAG);
    }
    free_pair(&pair);
}

static void test_rekey(void **state) {
    (void)state;
    for_all_modes(check_rekey);
}

static void test_too_long(void **state) {
    (void)state;
    pair_t pair = make_pair(SGP_SEAL_CHACHA, true);
    unsigned char head[SGP_SEAL_HEAD] = {1, 0, 2, 0}; /* one more than may be */
    size_t bytes;
    assert_false(sgp_seal_measure(head, &bytes));
    assert_false(sgp_seal_close(pair.out, head, SGP_SEAL_MOST + 1, head));
    free_pair(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_altered),
        cmocka_unit_test(test_order),          cmocka_unit_test(test_rekey),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
