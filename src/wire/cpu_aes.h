/* SPDX-License-Identifier: Apache-2.0 */
/* Whether libcrypto has CPU instructions for AES-256-GCM: those of AES, and those of the multiplication in GCM. Without both it is
 * slower than ChaCha20-Poly1305, and its time may depend on the key. Pure functions, any thread. Called by handshake.c. */
#ifndef SGP_WIRE_CPU_AES_H
#define SGP_WIRE_CPU_AES_H

#include <stdbool.h>

/* What libcrypto uses: a CPU's instructions, less those that the environment takes away (OPENSSL_ia32cap, OPENSSL_armcap). */
bool sgp_cpu_has_aes(void);

/* The same of the text that OPENSSL_info(OPENSSL_INFO_CPU_SETTINGS) returns. NULL and other CPUs' texts: false. */
bool sgp_cpu_aes_in(const char *settings);

#endif
