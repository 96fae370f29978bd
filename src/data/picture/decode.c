/* SPDX-License-Identifier: Apache-2.0 */
#include "data/picture/decode.h"

#include "data/picture/picture.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

sgp_status_t decode_fail(decode_reason_t *reason, sgp_status_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason->text, sizeof reason->text, format, arguments);
    va_end(arguments);
    return status;
}

sgp_status_t decode_check_pixels(decode_reason_t *reason, uint64_t width, uint64_t height) {
    if (width == 0 || height == 0) return decode_fail(reason, SGP_ERR_FORMAT, "it has no pixels");
    if (width <= PICTURE_MOST_PIXELS / height) return SGP_OK;
    return decode_fail(reason, SGP_ERR_FORMAT,
                       "%" PRIu64 " x %" PRIu64 " pixels: should be at most %" PRIu64 " in all",
                       width, height, PICTURE_MOST_PIXELS);
}

sgp_status_t decode_check_memory(decode_reason_t *reason, uint64_t bytes, size_t most) {
    if (most == 0 || bytes <= most) return SGP_OK;
    return decode_fail(reason, SGP_ERR_FORMAT,
                       "decoding it takes %" PRIu64 " MB: should be at most %zu", bytes / 1000000,
                       most / 1000000);
}

sgp_status_t decode_reserve(decode_reason_t *reason, void **memory, size_t *room, size_t bytes) {
    if (bytes <= *room) return SGP_OK;
    free(*memory);
    *memory = malloc(bytes);
    *room = *memory ? bytes : 0;
    return *memory ? SGP_OK : decode_fail(reason, SGP_ERR_NO_MEMORY, "no memory");
}
