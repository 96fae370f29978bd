/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that a process tells of itself: a file of them, line by line. */
#include "fuzz.h"

#include "run/own_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    own_lines_t *own = calloc(1, sizeof *own);
    FUZZ_CHECK(own);
    for (size_t at = 0, end; at < size; at = end + 1) {
        for (end = at; end < size && data[end] != '\n';) end++;
        uint64_t before = own->count;
        bool taken = own_lines_parse(own, (const char *)data + at, end - at);
        FUZZ_CHECK(own->count <= METRICS_PER_EPOCH && own->probe <= PROBE_MAX);
        FUZZ_CHECK(taken || own->count == before);
        FUZZ_CHECK(!taken || own->head.epoch > 0);
        FUZZ_CHECK(own->head.process >= 0 && own->head.node >= 0 && own->head.worker >= 0);
        FUZZ_CHECK(strlen(own->head.host) < OWN_LINES_HOST);
        if (own->count > before) FUZZ_CHECK(own->lines[before].step >= 1);
    }
    own_lines_release(own);
    free(own);
    return 0;
}
