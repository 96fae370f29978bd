/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/cpu_aes.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* x86: EDX and ECX of CPUID leaf 1, as one number (OPENSSL_ia32cap(3)). ARM: bits of arm_arch.h. */
#define X86_PCLMULQDQ (1ULL << 33)
#define X86_AESNI     (1ULL << 57)
#define ARM_AES       (1ULL << 2)
#define ARM_PMULL     (1ULL << 5)

static bool has(const char *settings, const char *name, unsigned long long bits) {
    size_t length = strlen(name);
    if (strncmp(settings, name, length) != 0) return false;
    return (strtoull(settings + length, NULL, 16) & bits) == bits;
}

bool sgp_cpu_aes_in(const char *settings) {
    return settings && (has(settings, "OPENSSL_ia32cap=", X86_PCLMULQDQ | X86_AESNI) ||
                        has(settings, "OPENSSL_armcap=", ARM_AES | ARM_PMULL));
}

bool sgp_cpu_has_aes(void) {
    return sgp_cpu_aes_in(OPENSSL_info(OPENSSL_INFO_CPU_SETTINGS));
}
