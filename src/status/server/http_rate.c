/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/http_rate.h"

#define SECOND 1e9

static void refill(rate_bucket_t *bucket, double per_second, uint64_t now) {
    bucket->used -= per_second * (double)(now - bucket->at) / SECOND;
    if (bucket->used < 0) bucket->used = 0;
    bucket->at = now;
}

static bool has_one(rate_bucket_t *bucket, double per_second, double most, uint64_t now) {
    refill(bucket, per_second, now);
    return bucket->used + 1 <= most;
}

static rate_bucket_t *bucket_of(rate_t *rate, const sgp_address_t *address) {
    int quiet = 0;
    for (int i = 0; i < rate->addresses; i++) {
        if (sgp_address_same_host(&rate->of[i].address, address)) return &rate->of[i].bucket;
        if (rate->of[i].bucket.at < rate->of[quiet].bucket.at) quiet = i;
    }
    int at = rate->addresses < RATE_ADDRESSES ? rate->addresses++ : quiet;
    rate->of[at].address = *address;
    rate->of[at].bucket = (rate_bucket_t){0};
    return &rate->of[at].bucket;
}

bool rate_take(rate_t *rate, const sgp_address_t *address, uint64_t now) {
    rate_bucket_t *own = bucket_of(rate, address);
    bool of_address = has_one(own, RATE_OF_ADDRESS, RATE_BURST, now);
    if (!of_address || !has_one(&rate->all, RATE_OF_ALL, RATE_BURST_OF_ALL, now)) return false;
    own->used++;
    rate->all.used++;
    return true;
}

uint64_t pace_rest(rate_bucket_t *pace, uint64_t used, uint64_t now) {
    refill(pace, PACE_SHARE, now);
    pace->used += (double)used / SECOND;
    double over = pace->used - PACE_BURST;
    return over > 0 ? (uint64_t)(over / PACE_SHARE * SECOND) : 0;
}
