/* SPDX-License-Identifier: Apache-2.0 */
#include "group/notice.h"

#include <string.h>

/* false: there is no room. */
static bool tell_one(sgp_transport_t *transport, const sgp_notice_t *notice, int dst) {
    sgp_header_t header = {.kind = SGP_KIND_NOTICE,
                           .encoding = SGP_ENCODING_BYTES,
                           .step = notice->number,
                           .count = SGP_NOTICE_BYTES};
    sgp_destination_t to = {.dst = dst, .weight = 1};
    sgp_send_t send;
    sgp_status_t status = sgp_transport_send_begin(transport, &header, &to, 1, &send);
    if (status != SGP_OK) return status == SGP_ERR_PEER_LOST;
    memcpy(sgp_transport_send_next(transport, &send), notice->bytes, SGP_NOTICE_BYTES);
    sgp_transport_send_commit(transport, &send);
    sgp_transport_send_next(transport, &send); /* NULL: the message is whole */
    return true;
}

bool sgp_notice_tell(sgp_group_t *group, sgp_notice_t *notice) {
    sgp_transport_t *transport = sgp_group_transport(group);
    for (; notice->told < transport->capacity; notice->told++)
        if (notice->told != transport->rank && !tell_one(transport, notice, notice->told))
            return false;
    return true;
}

static sgp_chunk_t *find(sgp_group_t *group, uint64_t number, int src) {
    sgp_inbox_key_t key = {.kind = SGP_KIND_NOTICE, .src = src, .step = number};
    return sgp_inbox_find(sgp_group_inbox(group), &key);
}

bool sgp_notice_find(sgp_group_t *group, uint64_t number, int src,
                     unsigned char bytes[SGP_NOTICE_BYTES]) {
    sgp_chunk_t *chunk = find(group, number, src);
    if (!chunk || chunk->header.count != SGP_NOTICE_BYTES) return false;
    memcpy(bytes, chunk->payload, SGP_NOTICE_BYTES);
    return true;
}

void sgp_notice_forget(sgp_group_t *group, uint64_t number) {
    for (int src = 0; src < sgp_group_transport(group)->capacity; src++) {
        sgp_chunk_t *chunk = find(group, number, src);
        if (chunk) sgp_inbox_release(sgp_group_inbox(group), chunk);
    }
}
