/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/join_message.h"

#include "base/bytes.h"

void sgp_join_message_encode(sgp_join_message_t message, size_t bytes,
                             unsigned char header[SGP_JOIN_MESSAGE_HEADER]) {
    sgp_bytes_put(header, message, 4);
    sgp_bytes_put(header + 4, (uint32_t)bytes, 4);
}

bool sgp_join_message_decode(const unsigned char header[SGP_JOIN_MESSAGE_HEADER], size_t most,
                             sgp_join_message_t *message, size_t *bytes) {
    uint64_t kind = sgp_bytes_get(header, 4), count = sgp_bytes_get(header + 4, 4);
    if (kind < SGP_JOIN_ADMITTED || kind > SGP_JOIN_MESSAGE_LAST || count > most) return false;
    *message = (sgp_join_message_t)kind;
    *bytes = (size_t)count;
    return true;
}
