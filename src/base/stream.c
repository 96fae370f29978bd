/* SPDX-License-Identifier: Apache-2.0 */
#include "base/stream.h"

#include "base/vector.h"

#include <stdint.h>
#include <string.h>

#ifdef __SSE2__

#include <emmintrin.h>

#define LINE 64 /* bytes of a cache line */

/* Bytes before the first whole line of `to`. */
static size_t head_of(const void *to, size_t bytes) {
    size_t head = (size_t)(-(uintptr_t)to % LINE);
    return head < bytes ? head : bytes;
}

/* A line; *bad collects lanes that are all ones where an element is not finite. */
static inline void stream_line(unsigned char *to, const unsigned char *from, __m128i *bad) {
    const __m128i exponent = _mm_set1_epi32(0x7f800000);
    for (int i = 0; i < LINE; i += 16) {
        __m128i values = _mm_loadu_si128((const __m128i *)(const void *)(from + i));
        _mm_stream_si128((__m128i *)(void *)(to + i), values);
        __m128i masked = _mm_and_si128(values, exponent);
        *bad = _mm_or_si128(*bad, _mm_cmpeq_epi32(masked, exponent));
    }
}

void sgp_stream_copy(size_t bytes, void *to, const void *from) {
    unsigned char *at = to;
    const unsigned char *source = from;
    size_t done = head_of(to, bytes);
    __m128i bad =
        _mm_setzero_si128(); /* of no interest here, and no extra time: memory is slower */
    memcpy(at, source, done);
    for (; bytes - done >= LINE; done += LINE) stream_line(at + done, source + done, &bad);
    memcpy(at + done, source + done, bytes - done);
}

static bool copy_finite(size_t count, float *to, const float *from) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
        bad |= sgp_not_finite(from[i]);
    }
    return bad == 0;
}

bool sgp_stream_finite(size_t count, float *to, const float *from) {
    size_t bytes = count * sizeof *to, done = head_of(to, bytes);
    __m128i bad = _mm_setzero_si128();
    bool finite = copy_finite(done / sizeof *to, to, from);
    for (; bytes - done >= LINE; done += LINE)
        stream_line((unsigned char *)to + done, (const unsigned char *)from + done, &bad);
    size_t rest = done / sizeof *to;
    finite &= copy_finite(count - rest, to + rest, from + rest);
    return finite && _mm_movemask_epi8(bad) == 0;
}

void sgp_stream_fence(void) {
    _mm_sfence();
}

#else

void sgp_stream_copy(size_t bytes, void *to, const void *from) {
    memcpy(to, from, bytes);
}

bool sgp_stream_finite(size_t count, float *to, const float *from) {
    int bad = 0;
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i];
        bad |= sgp_not_finite(from[i]);
    }
    return bad == 0;
}

void sgp_stream_fence(void) {}

#endif
