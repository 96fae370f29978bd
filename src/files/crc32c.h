/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli), as RFC 3720 has it: of "123456789" it is 0xe3069283. For short records: it
 * goes bit by bit. */
#ifndef SGP_FILES_CRC32C_H
#define SGP_FILES_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t count);

#endif
