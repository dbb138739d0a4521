{{- /*
Who issues a node's certificates: what the node is told, and what it needs of the host for that.
*/ -}}

{{- /* The socket of SPIRE's agent; nothing if an authority issues. */ -}}
{{- define "culvert.issuer.socket" -}}
{{- $mode := .Values.node.env.PROXY_MODE | default "shared" -}}
{{- if eq .Values.issuer "spire-delegated" -}}
{{- if ne $mode "shared" }}{{ fail "issuer: spire-delegated would let a dedicated proxy become everybody on its node; with node.env.PROXY_MODE=dedicated use spire-workload" }}{{ end -}}
{{ .Values.spire.adminSocket }}
{{- else if eq .Values.issuer "spire-workload" -}}
{{- if ne $mode "dedicated" }}{{ fail "issuer: spire-workload says who one workload is, and a node needs the certificates of all its pods; use spire-delegated (spire-workload is for node.env.PROXY_MODE=dedicated)" }}{{ end -}}
{{ .Values.spire.workloadSocket }}
{{- end -}}
{{- end -}}

{{- define "culvert.issuer.env" -}}
{{- $socket := include "culvert.issuer.socket" . }}
{{- if $socket }}
- {name: CULVERT_ISSUER, value: {{ .Values.issuer | quote }}}
- {name: {{ eq .Values.issuer "spire-delegated" | ternary "SPIRE_ADMIN_ENDPOINT_SOCKET" "SPIFFE_ENDPOINT_SOCKET" }}, value: {{ printf "unix://%s" $socket | quote }}}
{{- else }}
- {name: CA_ADDRESS, value: {{ .Values.ca.address | default (printf "%s:15012" (include "culvert.control.host" .)) | quote }}}
{{- with .Values.ca.hostname }}
- {name: ALT_CA_HOSTNAME, value: {{ . | quote }}}
{{- end }}
{{- if .Values.ca.rootConfigMap }}
- {name: CA_ROOT_CA, value: /var/run/secrets/ca/root-cert.pem}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The directory of the socket: the agent makes it anew when it starts. */ -}}
{{- define "culvert.issuer.mount" -}}
{{- $socket := include "culvert.issuer.socket" . }}
{{- if $socket }}
- {name: spire, mountPath: {{ dir $socket }}, readOnly: true}
{{- else if .Values.ca.rootConfigMap }}
- {name: ca-root, mountPath: /var/run/secrets/ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "culvert.issuer.volume" -}}
{{- $socket := include "culvert.issuer.socket" . }}
{{- if $socket }}
- name: spire
  hostPath: {path: {{ dir $socket }}, type: DirectoryOrCreate}
{{- else if .Values.ca.rootConfigMap }}
- name: ca-root
  configMap: {name: {{ .Values.ca.rootConfigMap }}}
{{- end }}
{{- end -}}
