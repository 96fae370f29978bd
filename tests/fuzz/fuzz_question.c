/* SPDX-License-Identifier: Apache-2.0 */
/* The messages WAIT and PASSED as they arrive: switches, then the bytes of one. One that is accepted is the same when it
 * is written again. */
#include "fuzz.h"

#include "wire/question.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    unsigned char bytes[64], again[64];
    fuzz_byte(&input);
    size_t count = fuzz_take(&input, bytes, sizeof bytes);
    uint64_t round;
    sgp_passed_t passed;
    bool is_wait = sgp_wait_decode(bytes, count, &round);
    bool is_passed = sgp_passed_decode(bytes, count, &passed);
    FUZZ_CHECK(!is_wait || count == SGP_WAIT_BYTES);
    FUZZ_CHECK(!is_passed || count == SGP_PASSED_BYTES);
    if (is_wait) sgp_wait_encode(round, again);
    if (is_passed) {
        FUZZ_CHECK(passed.answer >= SGP_ANSWER_SENT && passed.answer <= SGP_ANSWER_LAST);
        sgp_passed_encode(&passed, again);
    }
    if (is_wait || is_passed) FUZZ_CHECK(memcmp(again, bytes, count) == 0);
    return 0;
}
