{{/* Names, labels and the merged values of each workload; every other template reads these. */}}

{{- define "flamelake.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* At most 26, so that NAME-ingester-zone-ZONE-headless fits into the 63 of a service and the 52 of a StatefulSet. */}}
{{- define "flamelake.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 26 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "flamelake.name" . -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name | trunc 26 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 26 | trimSuffix "-" }}{{- end -}}
{{- end -}}
{{- end }}

{{- define "flamelake.selector" -}}
app.kubernetes.io/name: {{ include "flamelake.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "flamelake.labels" -}}
{{ include "flamelake.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "flamelake.image" -}}
{{- $image := .Values.flamelake.image -}}
{{- $registry := default .Values.global.imageRegistry $image.registry -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end -}}
{{- end }}

{{- define "flamelake.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "flamelake.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end -}}
{{- end }}

{{/* The backend: the trial S3 server wins over `filesystem`. */}}
{{- define "flamelake.backend" -}}
{{- if .Values.trial.s3.enabled }}s3{{ else }}{{ .Values.storage.backend }}{{ end -}}
{{- end }}

{{- define "flamelake.etcdEndpoints" -}}
{{- if .Values.trial.etcd.enabled -}}
{{- $root := . -}}{{- $hosts := list -}}
{{- range $i := until (int .Values.trial.etcd.replicaCount) -}}
{{- $hosts = append $hosts (printf "%s-etcd-%d.%s-etcd:2379" (include "flamelake.fullname" $root) $i (include "flamelake.fullname" $root)) -}}
{{- end -}}
{{- join "," $hosts -}}
{{- else -}}
{{- join "," .Values.externalEtcd.endpoints -}}
{{- end -}}
{{- end }}

{{/* The enabled workloads as YAML {name: values}, each laid over the common values of `flamelake`. */}}
{{- define "flamelake.workloads" -}}
{{- $common := omit .Values.flamelake "components" "image" "structuredConfig" "tenantOverrides" "log" "multitenancyEnabled" -}}
{{- $workloads := dict -}}
{{- if .Values.architecture.microservices.enabled -}}
{{- range $name, $own := .Values.flamelake.components -}}
{{- if $own.enabled -}}
{{- $merged := mergeOverwrite (deepCopy $common) (deepCopy (omit $own "enabled")) -}}
{{- $_ := set $merged "target" (default $name $own.target) -}}
{{- if and (eq $name "ingester") $.Values.architecture.zones -}}
{{- range $zone := $.Values.architecture.zones -}}
{{- $zoned := deepCopy $merged -}}
{{- $_ := set $zoned "zone" $zone -}}
{{- with $zone.replicaCount }}{{ $_ := set $zoned "replicaCount" . }}{{ end -}}
{{- $_ := set $workloads (printf "ingester-zone-%s" $zone.name) $zoned -}}
{{- end -}}
{{- else -}}
{{- $_ := set $workloads $name $merged -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- $all := deepCopy $common -}}
{{- $_ := set $all "target" "all" -}}
{{- $_ := set $all "kind" (ternary "StatefulSet" "Deployment" .Values.flamelake.persistence.enabled) -}}
{{- $_ := set $workloads "all" $all -}}
{{- end -}}
{{- toYaml $workloads -}}
{{- end }}

{{/* The service that takes pushes, and the one that answers queries. */}}
{{- define "flamelake.pushService" -}}
{{ include "flamelake.fullname" . }}{{ if .Values.architecture.microservices.enabled }}-{{ ternary "write" "distributor" .Values.flamelake.components.write.enabled }}{{ end }}
{{- end }}
{{- define "flamelake.queryService" -}}
{{ include "flamelake.fullname" . }}{{ if .Values.architecture.microservices.enabled }}-{{ ternary "read" "querier" .Values.flamelake.components.read.enabled }}{{ end }}
{{- end }}

{{/* Name of a workload's objects: the bare name for `all`. */}}
{{- define "flamelake.workloadName" -}}
{{- include "flamelake.fullname" .root }}{{ if ne .name "all" }}-{{ .name }}{{ end -}}
{{- end }}

{{- define "flamelake.s3SecretName" -}}
{{- if .Values.trial.s3.enabled }}{{ include "flamelake.fullname" . }}-trial-s3{{ else }}{{ .Values.storage.s3.existingSecret.name }}{{ end -}}
{{- end }}

{{/* What would only be found out at three in the morning. */}}
{{- define "flamelake.check" -}}
{{- $backend := include "flamelake.backend" . -}}
{{- $etcd := include "flamelake.etcdEndpoints" . -}}
{{- $micro := .Values.architecture.microservices.enabled -}}
{{- if and $micro (not $etcd) }}{{ fail "microservices need an etcd: set externalEtcd.endpoints, or trial.etcd.enabled to try it" }}{{ end -}}
{{- if and $micro (has $backend (list "filesystem" "in-memory")) }}{{ fail "microservices need a bucket: set storage.backend to s3, gcs or azure, or trial.s3.enabled to try it" }}{{ end -}}
{{- if and (not $micro) (gt (int .Values.flamelake.replicaCount) 1) (or (not $etcd) (has $backend (list "filesystem" "in-memory"))) }}{{ fail "several processes need an etcd (externalEtcd.endpoints) and a bucket (storage.backend)" }}{{ end -}}
{{- if and (not $micro) (eq $backend "filesystem") (not .Values.flamelake.persistence.enabled) }}{{ fail "storage.backend=filesystem needs flamelake.persistence.enabled: without it everything is lost with the pod" }}{{ end -}}
{{- if and (eq $backend "s3") (not .Values.trial.s3.enabled) (not .Values.storage.s3.bucketName) }}{{ fail "set storage.s3.bucketName" }}{{ end -}}
{{- if and (eq $backend "gcs") (not .Values.storage.gcs.bucketName) }}{{ fail "set storage.gcs.bucketName" }}{{ end -}}
{{- if and (eq $backend "azure") (not (and .Values.storage.azure.accountName .Values.storage.azure.containerName)) }}{{ fail "set storage.azure.accountName and storage.azure.containerName" }}{{ end -}}
{{- if and .Values.architecture.zones (not $micro) }}{{ fail "architecture.zones need architecture.microservices.enabled" }}{{ end -}}
{{- if and .Values.trial.etcd.enabled .Values.externalEtcd.endpoints }}{{ fail "choose one of externalEtcd.endpoints and trial.etcd.enabled" }}{{ end -}}
{{- if and .Values.authProxy.enabled (not .Values.authProxy.existingSecret.name) }}{{ fail "authProxy needs authProxy.existingSecret.name, a secret with a password file" }}{{ end -}}
{{- if and .Values.authProxy.enabled (not .Values.flamelake.multitenancyEnabled) }}{{ fail "authProxy sets the tenant: it needs flamelake.multitenancyEnabled" }}{{ end -}}
{{- if and .Values.authProxy.enabled .Values.tls.public.existingSecret }}{{ fail "authProxy speaks plain text to the pods: leave tls.public out" }}{{ end -}}
{{- if and .Values.tls.public.existingSecret (eq (ne .Values.tls.public.clientAuth "none") (eq .Values.tls.public.keys.clientCa "")) }}{{ fail "tls.public.clientAuth (request or require) and tls.public.keys.clientCa belong together" }}{{ end -}}
{{- if and .Values.tests.enabled .Values.tokens.existingSecret.name (not .Values.tests.token.existingSecret.name) }}{{ fail "helm test needs a token: set tests.token.existingSecret.name, or tests.enabled=false" }}{{ end -}}
{{- if and .Values.tests.enabled .Values.tls.public.existingSecret (eq .Values.tls.public.clientAuth "require") (not .Values.tests.clientCertificate.existingSecret.name) }}{{ fail "helm test needs a certificate: set tests.clientCertificate.existingSecret.name, or tests.enabled=false" }}{{ end -}}
{{- range $name, $w := fromYaml (include "flamelake.workloads" .) -}}
{{- if and $w.autoscaling.enabled (or (hasPrefix "ingester" $name) (eq $name "write") (eq $name "all")) }}{{ fail (printf "%s must not be scaled by an autoscaler: taking an ingester away has an order (docs/operations/runbooks/scale.md)" $name) }}{{ end -}}
{{- if and $w.persistence.enabled (ne $w.kind "StatefulSet") }}{{ fail (printf "%s has a disk (persistence.enabled), so its kind must be StatefulSet" $name) }}{{ end -}}
{{- end -}}
{{- range $path := list "storage.s3.secret-access-key" "storage.s3.secret_access_key" "storage.gcs.service-account" "storage.gcs.service_account" "storage.azure.account-key" "storage.azure.account_key" "ring.etcd.password" -}}
{{- $at := $.Values.flamelake.structuredConfig -}}
{{- range $key := splitList "." $path }}{{ if kindIs "map" $at }}{{ $at = get $at $key }}{{ else }}{{ $at = "" }}{{ end }}{{ end -}}
{{- if and $at (not (hasPrefix "${" (toString $at))) }}{{ fail (printf "flamelake.structuredConfig.%s would lie in a ConfigMap: use existingSecret" $path) }}{{ end -}}
{{- end -}}
{{- end }}

{{/* The scheme that probes and scrapes speak: HTTPS where `tls` or flamelake.structuredConfig gives the port a certificate. Called with {root, port: http | admin}. */}}
{{- define "flamelake.scheme" -}}
{{- $own := get .root.Values.tls (ternary "public" "admin" (eq .port "http")) -}}
{{- $server := default dict .root.Values.flamelake.structuredConfig.server -}}
{{- if or $own.existingSecret (get $server (printf "%s-tls-cert-path" .port)) (get $server (printf "%s_tls_cert_path" .port)) }}HTTPS{{ else }}HTTP{{ end -}}
{{- end }}
