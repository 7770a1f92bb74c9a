{{/* The flags of `tidegate run`. */}}
{{- define "tidegate.args" -}}
{{- $controller := .Values.controller -}}
- --agent=external
- --run-dir=/run/tidegate
- --http-port={{ $controller.containerPort.http }}
- --https-port={{ $controller.containerPort.https }}
- --healthz-port={{ $controller.metrics.port }}
- --configmap={{ default "$(POD_NAMESPACE)" $controller.configMapNamespace }}/{{ include "tidegate.controller" . }}
- --controller-class={{ $controller.ingressClassResource.controllerValue }}
- --ingress-class={{ $controller.ingressClass }}
{{- if $controller.ingressClassByName }}
- --ingress-class-by-name=true
{{- end }}
{{- if $controller.watchIngressWithoutClass }}
- --watch-ingress-without-class=true
{{- end }}
{{- if not $controller.enableAnnotationValidations }}
- --enable-annotation-validation=false
{{- end }}
{{- if and $controller.publishService.enabled $controller.service.enabled }}
- --publish-service={{ include "tidegate.published" . }}
{{- end }}
{{- if and $controller.reportNodeInternalIp $controller.hostNetwork }}
- --report-node-internal-ip-address=true
{{- end }}
- --election-id={{ include "tidegate.election" . }}
{{- with $controller.electionTTL }}
- --election-ttl={{ . }}
{{- end }}
{{- if $controller.disableLeaderElection }}
- --disable-leader-election=true
{{- end }}
{{- if $controller.scope.enabled }}
- --watch-namespace={{ default "$(POD_NAMESPACE)" $controller.scope.namespace }}
{{- else if $controller.scope.namespaceSelector }}
- --watch-namespace-selector={{ $controller.scope.namespaceSelector }}
{{- end }}
{{- if ne $controller.healthCheckPath "/healthz" }}
- --health-check-path={{ $controller.healthCheckPath }}
{{- end }}
{{- with $controller.healthCheckHost }}
- --healthz-host={{ . }}
{{- end }}
{{- if .Values.defaultBackend.enabled }}
- --default-backend-service=$(POD_NAMESPACE)/{{ include "tidegate.defaultBackend" . }}
{{- end }}
{{- if .Values.tcp }}
- --tcp-services-configmap={{ default "$(POD_NAMESPACE)" $controller.tcp.configMapNamespace }}/{{ include "tidegate.fullname" . }}-tcp
{{- end }}
{{- if .Values.udp }}
- --udp-services-configmap={{ default "$(POD_NAMESPACE)" $controller.udp.configMapNamespace }}/{{ include "tidegate.fullname" . }}-udp
{{- end }}
{{- if $controller.http3.enabled }}
- --enable-http3
- --http3-advertised-port={{ $controller.service.ports.https }}
{{- end }}
{{- if include "tidegate.webhook" . }}
- --validating-webhook=:{{ $controller.admissionWebhooks.port }}
{{- if include "tidegate.webhookFiles" . }}
- --validating-webhook-certificate=/run/webhook/tls.crt
- --validating-webhook-key=/run/webhook/tls.key
{{- else }}
- --validating-webhook-secret=$(POD_NAMESPACE)/{{ include "tidegate.admission" . }}
- --validating-webhook-service={{ include "tidegate.controller" . }}-admission
- --validating-webhook-configuration={{ include "tidegate.admission" . }}
{{- end }}
{{- end }}
{{- if not .Values.endpointPools.enabled }}
- --enable-endpoint-pools=false
{{- else if .Values.endpointPools.allowedCidrs }}
- --endpoint-pool-allowed-cidrs={{ join "," .Values.endpointPools.allowedCidrs }}
{{- end }}
{{- range $key, $value := $controller.extraArgs }}
{{- if eq (toString $value) "" }}
- --{{ $key }}
{{- else }}
- --{{ $key }}={{ $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* The Service whose addresses Ingresses get. */}}
{{- define "tidegate.published" -}}
{{- $controller := .Values.controller }}
{{- if $controller.publishService.pathOverride }}
{{- $controller.publishService.pathOverride }}
{{- else -}}
$(POD_NAMESPACE)/{{ include "tidegate.controller" . }}{{ if not $controller.service.external.enabled }}-internal{{ end }}
{{- end }}
{{- end }}

{{/* The security context of a container: (list . USER) */}}
{{- define "tidegate.containerSecurity" -}}
{{- $root := index . 0 }}
{{- $image := $root.Values.controller.image }}
{{- $own := dict
  "runAsUser" (index . 1) "runAsGroup" $image.runAsGroup "runAsNonRoot" true
  "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true
  "capabilities" (dict "drop" (list "ALL"))
  "seccompProfile" $image.seccompProfile }}
{{- mergeOverwrite $own (deepCopy $root.Values.controller.containerSecurityContext) | toYaml }}
{{- end }}

{{- define "tidegate.podSecurity" -}}
{{- $controller := .Values.controller }}
{{- $sysctls := list }}
{{- if not $controller.hostNetwork }}
{{- $sysctls = append $sysctls (dict "name" "net.ipv4.ip_unprivileged_port_start" "value" "0") }}
{{- end }}
{{- range $name, $value := $controller.sysctls }}
{{- $sysctls = append $sysctls (dict "name" $name "value" (toString $value)) }}
{{- end }}
{{- $own := dict "runAsNonRoot" true "seccompProfile" $controller.image.seccompProfile }}
{{- if $sysctls }}
{{- $_ := set $own "sysctls" $sysctls }}
{{- end }}
{{- mergeOverwrite $own (deepCopy $controller.podSecurityContext) | toYaml }}
{{- end }}

{{- define "tidegate.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- with .Values.controller.extraEnvs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tidegate.probes" -}}
{{- with .startupProbe }}
startupProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .livenessProbe }}
livenessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .readinessProbe }}
readinessProbe:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A port of NGINX's container: (list . NAME NUMBER PROTOCOL HOSTPORT) */}}
{{- define "tidegate.port" -}}
{{- $controller := (index . 0).Values.controller -}}
- name: {{ index . 1 }}
  containerPort: {{ index . 2 }}
  protocol: {{ index . 3 }}
{{- if $controller.hostNetwork }}
  hostPort: {{ index . 2 }}
{{- else if $controller.hostPort.enabled }}
  hostPort: {{ index . 4 }}
{{- end }}
{{- end }}

{{- define "tidegate.pod" -}}
{{- $root := . }}
{{- $controller := .Values.controller }}
{{- if $controller.hostNetwork }}
{{- range $name, $port := $controller.containerPort }}
{{- if lt (int $port) 1024 }}
{{- fail (printf "controller.hostNetwork: Kubernetes allows no sysctl in the node's network, and NGINX has no capability, so it cannot have port %d: set controller.containerPort.%s above 1023" (int $port) $name) }}
{{- end }}
{{- end }}
{{- end }}
metadata:
  labels:
    {{- include "tidegate.controllerLabels" . | nindent 4 }}
    {{- with $controller.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $controller.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "tidegate.serviceAccount" . }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ $controller.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "tidegate.podSecurity" . | nindent 4 }}
  {{- if $controller.hostNetwork }}
  hostNetwork: true
  {{- end }}
  dnsPolicy: {{ default ($controller.hostNetwork | ternary "ClusterFirstWithHostNet" "ClusterFirst") $controller.dnsPolicy }}
  {{- with $controller.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $controller.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $controller.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $own := dict "labelSelector" (dict "matchLabels" (include "tidegate.controllerSelector" $root | fromYaml)) }}
    {{- list (mergeOverwrite $own (deepCopy .)) | toYaml | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with $controller.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: operator
      image: {{ include "tidegate.image" . }}
      imagePullPolicy: {{ $controller.image.pullPolicy }}
      # It starts the operator again when that crashes: NGINX serves on, so the pod is to stay ready.
      command: [/opt/tidegate/bin/keep-running, /opt/tidegate/bin/tidegate, run]
      args:
        {{- include "tidegate.args" . | nindent 8 }}
      env:
        {{- include "tidegate.environment" . | nindent 8 }}
      ports:
        - name: admin
          containerPort: {{ $controller.metrics.port }}
          protocol: TCP
        {{- if include "tidegate.webhook" . }}
        - name: webhook
          containerPort: {{ $controller.admissionWebhooks.port }}
          protocol: TCP
        {{- end }}
      {{- include "tidegate.probes" $controller.operator | indent 6 }}
      securityContext:
        {{- include "tidegate.containerSecurity" (list . $controller.operator.runAsUser) | nindent 8 }}
      {{- with $controller.operator.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: run
          mountPath: /run/tidegate
        - name: memory
          mountPath: /tmp
        - name: token
          mountPath: /var/run/secrets/kubernetes.io/serviceaccount
          readOnly: true
        {{- if include "tidegate.webhookFiles" . }}
        - name: webhook
          mountPath: /run/webhook
          readOnly: true
        {{- end }}
        {{- with $controller.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    - name: nginx
      image: {{ include "tidegate.image" . }}
      imagePullPolicy: {{ $controller.image.pullPolicy }}
      command: [/opt/tidegate/bin/tidegate, agent]
      args:
        - --shared
        - --run-dir=/run/tidegate
        - --health-port={{ $controller.agentHealthPort }}
        - --shutdown-grace-period={{ include "tidegate.grace" . }}
        - --stop-timeout={{ max 1 (sub (int $controller.terminationGracePeriodSeconds) (int (include "tidegate.grace" .)) | add -5) }}
      env:
        {{- include "tidegate.environment" . | nindent 8 }}
      ports:
        {{- include "tidegate.port" (list . "http" $controller.containerPort.http "TCP" $controller.hostPort.ports.http) | nindent 8 }}
        {{- include "tidegate.port" (list . "https" $controller.containerPort.https "TCP" $controller.hostPort.ports.https) | nindent 8 }}
        {{- if $controller.http3.enabled }}
        {{- include "tidegate.port" (list . "http3" $controller.containerPort.https "UDP" $controller.hostPort.ports.https) | nindent 8 }}
        {{- end }}
        {{- range $protocol, $services := dict "tcp" .Values.tcp "udp" .Values.udp }}
        {{- range $port, $_ := $services }}
        {{- include "tidegate.port" (list $root (printf "%s%v-%s" $root.Values.portNamePrefix $port $protocol) $port (upper $protocol) $port) | nindent 8 }}
        {{- end }}
        {{- end }}
        - name: health
          containerPort: {{ $controller.agentHealthPort }}
          protocol: TCP
      {{- include "tidegate.probes" $controller | indent 6 }}
      securityContext:
        {{- include "tidegate.containerSecurity" (list . $controller.image.runAsUser) | nindent 8 }}
      {{- with $controller.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: run
          mountPath: /run/tidegate
        - name: tmp
          mountPath: /run/tidegate/tmp
        {{- with $controller.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with $controller.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: run
      emptyDir:
        medium: Memory
        sizeLimit: {{ $controller.volumes.run.sizeLimit }}
    - name: tmp
      emptyDir:
        sizeLimit: {{ $controller.volumes.tmp.sizeLimit }}
    # Keys pass through files on their way to the TLS library.
    - name: memory
      emptyDir:
        medium: Memory
        sizeLimit: 16Mi
    - name: token
      projected:
        defaultMode: 0444
        sources:
          - serviceAccountToken:
              path: token
              expirationSeconds: 3607
          - configMap:
              name: kube-root-ca.crt
              items:
                - {key: ca.crt, path: ca.crt}
          - downwardAPI:
              items:
                - path: namespace
                  fieldRef: {fieldPath: metadata.namespace}
    {{- if include "tidegate.webhookFiles" . }}
    - name: webhook
      secret:
        secretName: {{ default (include "tidegate.admission" .) $controller.admissionWebhooks.existingSecret }}
        defaultMode: 0444
    {{- end }}
    {{- with $controller.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Seconds between the signal to end and NGINX's end; the flag of the retired controller's chart counts. */}}
{{- define "tidegate.grace" -}}
{{- default .Values.controller.shutdownGracePeriodSeconds (get .Values.controller.extraArgs "shutdown-grace-period") }}
{{- end }}
