#!/bin/sh
# Makes the namespace where there is none. Retention: how long Temporal keeps ended plans, and with them the audit and the
# promise that a plan_id is used once. TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE come from compose.
set -eu

until temporal operator cluster health; do
    sleep 2
done
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" \
    || temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 90d
