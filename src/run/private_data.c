/* SPDX-License-Identifier: Apache-2.0 */
#include "run/private_data.h"

#include "base/logging.h"
#include "data/dataset.h"
#include "run/agreement.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { CHANNELS = DATASET_MAX_CHANNELS };

/* The data of one process, as they travel. */
typedef struct offer {
    uint64_t samples, checksum;
    double mean[CHANNELS], deviation[CHANNELS]; /* in units of a byte */
} offer_t;

static offer_t offer_of(const feed_t *feed) {
    const feed_shape_t *shape = feed_shape(feed);
    offer_t offer = {.samples = shape->train_count, .checksum = feed_checksum(feed)};
    for (int c = 0; c < shape->channels && c < CHANNELS; c++) {
        offer.mean[c] = (double)feed_mean(feed)[c];
        offer.deviation[c] = (double)feed_deviation(feed)[c];
    }
    return offer;
}

enum { MOST_BITS = 40 }; /* of a number of samples */

static bool is_right(const offer_t *offer) {
    bool right = offer->samples > 0 && offer->samples >> MOST_BITS == 0;
    for (int c = 0; c < CHANNELS; c++)
        right = right && fabs(offer->mean[c]) <= UINT8_MAX && offer->deviation[c] >= 0 &&
                offer->deviation[c] <= UINT8_MAX;
    return right;
}

static sgp_status_t check_offers(const run_t *run, const offer_t *all) {
    for (int i = 0; i < run->founders; i++)
        if (!is_right(&all[i]))
            return sgp_fail(SGP_ERR_FORMAT, "process %d: its data are out of range", i);
    return SGP_OK;
}

static sgp_status_t check_workers(const run_t *run, const offer_t *all) {
    int workers = run->options->workers;
    for (int i = 0; i < run->founders; i++) {
        int first = i / workers * workers;
        if (all[i].checksum == all[first].checksum) continue;
        if (!run_leads(run)) return SGP_ERR_MISMATCH;
        return sgp_fail(SGP_ERR_MISMATCH,
                        "private-data: worker %d of node %d has other data than worker 0: all "
                        "workers of a node need the same",
                        i % workers, i / workers);
    }
    return SGP_OK;
}

/* Of the samples of all nodes together: the mean of squares is deviation^2 + mean^2. In the order of the processes, so that
 * every node comes to the same bits. */
static void normalise(const run_t *run, const offer_t *all) {
    float mean[CHANNELS], deviation[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) {
        double count = 0, sum = 0, squares = 0;
        for (int i = 0; i < run->founders; i++) {
            double m = all[i].mean[c], d = all[i].deviation[c], n = (double)all[i].samples;
            count += n;
            sum += n * m;
            squares += n * (d * d + m * m);
        }
        double variance = squares / count - sum / count * (sum / count);
        mean[c] = (float)(sum / count);
        deviation[c] = variance > 0 ? (float)sqrt(variance) : 1;
    }
    feed_normalise(run->replica.feed, mean, deviation);
}

static sgp_status_t take(run_t *run, const offer_t *all) {
    replica_t *replica = &run->replica;
    uint64_t most = 0;
    for (int i = 0; i < run->founders; i++)
        if (all[i].samples > most) most = all[i].samples;
    sgp_status_t status = feed_set_length(replica->feed, most);
    if (status) return status;
    if (!feed_shape(replica->feed)->pictures) normalise(run, all);
    replica_plan(replica, run->options);
    metrics_init(&run->metrics, replica->steps_per_epoch, replica->parameters);
    return SGP_OK;
}

sgp_status_t private_data_meet(run_t *run) {
    if (!run->options->private_data) return SGP_OK;
    offer_t mine = offer_of(run->replica.feed), *all = calloc((size_t)run->size, sizeof *all);
    sgp_status_t status =
        all ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", run->size);
    status = agreement_share(run->group, status);
    if (!status) status = sgp_group_gather(run->group, &mine, sizeof mine, all);
    if (!status && presence_count(run->group) < run->founders)
        status = sgp_fail(SGP_ERR_PEER_LOST, "a node is lost, before the first step");
    if (!status) status = check_offers(run, all);
    if (!status) status = check_workers(run, all);
    if (!status) status = agreement_share(run->group, take(run, all));
    free(all);
    return status;
}
