/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs with and without instructions for AES-256-GCM, in libcrypto's words. */
#include "cmocka_all.h"

#include "wire/cpu_aes.h"

#include <sodium.h>

static void test_texts(void **state) {
    (void)state;
    static const struct {
        const char *settings;
        bool aes;
    } rows[] = {
        {"OPENSSL_ia32cap=0xfffa3203078bffff:0x405fc6f1bf07ab", true},
        /* as OPENSSL_ia32cap(3) switches off both, and one of them only */
        {"OPENSSL_ia32cap=0xfdfa3201078bffff:0x0 env:~0x200000200000000", false},
        {"OPENSSL_ia32cap=0xfdfa3203078bffff:0x0 env:~0x200000000000000", false},
        {"OPENSSL_ia32cap=0xfffa3201078bffff:0x0 env:~0x000000200000000", false},
        {"OPENSSL_ia32cap=0x0:0x0 env:0", false},
        {"OPENSSL_armcap=0x7d", true}, /* Neoverse N1 */
        {"OPENSSL_armcap=0x1", false}, /* Raspberry Pi 4: NEON, no AES */
        {"OPENSSL_armcap=0x5", false},
        {"OPENSSL_armcap=0x21", false},
        {"OPENSSL_s390xcap=facilities:0xfbfffffbfcfff840:0x0:0x0", false},
        {"N/A", false},
        {"OPENSSL_ia32cap=", false},
        {"", false},
        {NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(sgp_cpu_aes_in(rows[i].settings), rows[i].aes);
}

/* libsodium asks the CPU itself. It knows x86 alone before 1.0.19, so it may miss instructions, and never sees ones that are not
 * there. */
static void test_this_cpu(void **state) {
    (void)state;
    assert_true(sodium_init() >= 0);
    if (getenv("OPENSSL_ia32cap") || getenv("OPENSSL_armcap")) skip();
    if (crypto_aead_aes256gcm_is_available()) assert_true(sgp_cpu_has_aes());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_this_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
