/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/question.h"

#include "base/bytes.h"

void sgp_wait_encode(uint64_t round, unsigned char bytes[SGP_WAIT_BYTES]) {
    sgp_bytes_put(bytes, round, 8);
}

bool sgp_wait_decode(const void *bytes, size_t count, uint64_t *round) {
    if (count != SGP_WAIT_BYTES) return false;
    *round = sgp_bytes_get(bytes, 8);
    return true;
}

void sgp_passed_encode(const sgp_passed_t *passed, unsigned char bytes[SGP_PASSED_BYTES]) {
    sgp_bytes_put(bytes, passed->round, 8);
    sgp_bytes_put(bytes + 8, passed->answer, 4);
    sgp_bytes_put(bytes + 12, 0, 4);
    sgp_bytes_put(bytes + 16, passed->next, 8);
}

bool sgp_passed_decode(const void *bytes, size_t count, sgp_passed_t *passed) {
    const unsigned char *at = bytes;
    if (count != SGP_PASSED_BYTES || sgp_bytes_get(at + 12, 4) != 0) return false;
    uint64_t answer = sgp_bytes_get(at + 8, 4);
    if (answer < SGP_ANSWER_SENT || answer > SGP_ANSWER_LAST) return false;
    *passed = (sgp_passed_t){.round = sgp_bytes_get(at, 8),
                             .answer = (sgp_answer_t)answer,
                             .next = sgp_bytes_get(at + 16, 8)};
    return true;
}
