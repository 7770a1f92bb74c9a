{{- define "tidegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tidegate.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tidegate.controller" -}}
{{- printf "%s-%s" (include "tidegate.fullname" .) .Values.controller.name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tidegate.defaultBackend" -}}
{{- printf "%s-%s" (include "tidegate.fullname" .) .Values.defaultBackend.name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tidegate.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "tidegate.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "tidegate.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "tidegate.election" -}}
{{- default (printf "%s-leader" (include "tidegate.fullname" .)) .Values.controller.electionID }}
{{- end }}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: {{ include "tidegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tidegate.controllerSelector" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/component: controller
{{- end }}

{{/* Labels of every object. */}}
{{- define "tidegate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tidegate.selector" . }}
app.kubernetes.io/part-of: {{ include "tidegate.name" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tidegate.controllerLabels" -}}
{{ include "tidegate.labels" . }}
app.kubernetes.io/component: controller
{{- with .Values.controller.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* name, namespace and labels of an object: (list . NAME) */}}
{{- define "tidegate.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ include "tidegate.namespace" $root }}
labels:
  {{- include "tidegate.controllerLabels" $root | nindent 2 }}
{{- end }}

{{- define "tidegate.image" -}}
{{- $image := .Values.controller.image }}
{{- $registry := default .Values.global.image.registry $image.registry }}
{{- $name := default (printf "%s%s" (empty $registry | ternary "" (printf "%s/" $registry)) $image.image) $image.repository }}
{{- printf "%s:%s" $name (default .Chart.AppVersion $image.tag) }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* Somebody else may have made an object already: (list . KIND NAME API), and NAMESPACE if it has one, is "true" when it is ours to make. */}}
{{- define "tidegate.ours" -}}
{{- $root := index . 0 }}
{{- $found := lookup (index . 3) (index . 1) (gt (len .) 4 | ternary (last .) "") (index . 2) }}
{{- if not $found -}}
true
{{- else }}
{{- $notes := dig "metadata" "annotations" (dict) $found }}
{{- if and (eq (get $notes "meta.helm.sh/release-name") $root.Release.Name) (eq (get $notes "meta.helm.sh/release-namespace") $root.Release.Namespace) -}}
true
{{- end }}
{{- end }}
{{- end }}
