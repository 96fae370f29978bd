/* SPDX-License-Identifier: Apache-2.0 */
#include "files/event_record.h"

#include "files/crc32c.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { FRAME_HEAD = 12, FRAME_TAIL = 4 }; /* around the record */

/* Types of protobuf fields. */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

enum { MESSAGE_BYTES = EVENT_RECORD_SCALARS * (EVENT_RECORD_TAG + 16) };

_Static_assert(MESSAGE_BYTES + 64 + FRAME_HEAD + FRAME_TAIL <= EVENT_RECORD_BYTES,
               "an event has room");

/* A protobuf message being written. */
typedef struct message {
    size_t length;
    uint8_t bytes[EVENT_RECORD_BYTES];
} message_t;

static void put_fixed(uint8_t *bytes, uint64_t value, int count) {
    for (int i = 0; i < count; i++) bytes[i] = (uint8_t)(value >> 8 * i);
}

static void add_varint(message_t *message, uint64_t value) {
    for (; value >= 0x80; value >>= 7) message->bytes[message->length++] = (uint8_t)(value | 0x80);
    message->bytes[message->length++] = (uint8_t)value;
}

static void add_key(message_t *message, unsigned field, unsigned type) {
    add_varint(message, field << 3 | type);
}

static void add_integer(message_t *message, unsigned field, int64_t value) {
    add_key(message, field, VARINT);
    add_varint(message, (uint64_t)value);
}

static void add_double(message_t *message, unsigned field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(message, field, FIXED64);
    put_fixed(message->bytes + message->length, bits, 8);
    message->length += 8;
}

static void add_float(message_t *message, unsigned field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    add_key(message, field, FIXED32);
    put_fixed(message->bytes + message->length, bits, 4);
    message->length += 4;
}

static void add_bytes(message_t *message, unsigned field, const void *bytes, size_t count) {
    add_key(message, field, BYTES);
    add_varint(message, count);
    memcpy(message->bytes + message->length, bytes, count);
    message->length += count;
}

static void add_message(message_t *message, unsigned field, const message_t *part) {
    add_bytes(message, field, part->bytes, part->length);
}

static uint32_t masked_crc(const void *bytes, size_t count) {
    uint32_t crc = crc32c(bytes, count);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void frame(event_record_t *event, const message_t *message) {
    size_t length = message->length;
    put_fixed(event->bytes, length, 8);
    put_fixed(event->bytes + 8, masked_crc(event->bytes, 8), 4);
    memcpy(event->bytes + FRAME_HEAD, message->bytes, length);
    put_fixed(event->bytes + FRAME_HEAD + length, masked_crc(message->bytes, length), 4);
    event->length = FRAME_HEAD + length + FRAME_TAIL;
}

void event_record_version(event_record_t *event, double wall_time) {
    static const char version[] = "brain.Event:2";
    message_t message = {0};
    add_double(&message, 1, wall_time);
    add_bytes(&message, 3, version, sizeof version - 1);
    frame(event, &message);
}

void event_record_start(event_record_t *event, double wall_time, int64_t step) {
    message_t message = {0}, log = {0};
    add_integer(&log, 1, 1);
    add_double(&message, 1, wall_time);
    add_integer(&message, 2, step);
    add_message(&message, 7, &log);
    frame(event, &message);
}

void event_record_scalars(event_record_t *event, double wall_time, int64_t step,
                          const event_record_scalar_t *scalars, size_t count) {
    message_t message = {0}, summary = {0};
    assert(count <= EVENT_RECORD_SCALARS);
    for (size_t i = 0; i < count; i++) {
        message_t value = {0};
        size_t tag = strlen(scalars[i].tag);
        assert(tag <= EVENT_RECORD_TAG);
        if (!isfinite(scalars[i].value)) continue;
        add_bytes(&value, 1, scalars[i].tag, tag);
        add_float(&value, 2, (float)scalars[i].value);
        add_message(&summary, 1, &value);
    }
    add_double(&message, 1, wall_time);
    add_integer(&message, 2, step);
    add_message(&message, 5, &summary);
    frame(event, &message);
}
