/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrations: what `sgp bench` has measured on a machine, as JSON. */
#ifndef SGP_SIMULATE_CALIBRATION_H
#define SGP_SIMULATE_CALIBRATION_H

#include "simulate/simulation_settings.h"

#include <jansson.h>

typedef struct simulation_calibration {
    simulation_network_t network;
    simulation_compute_t compute;
    simulation_local_t local;
    double pass_parameters; /* numbers that the passes of `local` were measured over */
    double parameters;      /* of the model that was measured */
    int batch_size;
    char *model; /* its name; taken by the caller, released with free */
} simulation_calibration_t;

/* Members that the JSON lacks keep the values that they have. SGP_ERR_FORMAT: *wrong names a member that is not as sgp
 * bench writes it, "the whole" where the JSON is no object; not logged, for only the caller knows the file. */
sgp_status_t simulation_calibration_read(const json_t *json, simulation_calibration_t *calibration,
                                         const char **wrong);

#endif
