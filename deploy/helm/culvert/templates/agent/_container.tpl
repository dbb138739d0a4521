{{- /*
The agent's container, for one of three purposes: enrol; take-back, which ends when nothing of ours is left on the node; and idle,
which enrols nobody and is ready. In: a dict of it (root, name, values), cni, apparmor and purpose.
*/ -}}
{{- define "culvert.agent.container" -}}
{{- $root := .it.root -}}
name: {{ eq .purpose "take-back" | ternary "take-back" "culvert-agent" }}
image: {{ include "culvert.image" .it }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args:
  - --host-netns-prefix=/host
  {{- if eq .purpose "idle" }}
  - --pods=/etc/culvert/pods.yaml
  {{- else if $root.Values.cni.enabled }}
  - --cni-bin-dir=/host/cni/bin
  - --cni-conf-dir=/host/cni/net.d
  - --cni-mode={{ .cni.mode }}
  {{- end }}
  {{- if eq .purpose "take-back" }}
  - --cleanup
  {{- end }}
env:
  {{- include "culvert.env" (dict "theirs" .it.values.env "ours" (include "culvert.agent.env" $root)) | trim | nindent 2 }}
resources: {{- toYaml .it.values.resources | nindent 2 }}
securityContext:
  privileged: false
  runAsUser: 0
  runAsGroup: 0
  # The API server takes nothing else beside SYS_ADMIN.
  allowPrivilegeEscalation: true
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
    add:
      # Packet rules, routes and policy rules of pods.
      - NET_ADMIN
      # The legacy packet tools, on hosts that have rules of theirs, open raw sockets.
      - NET_RAW
      # Entering the pods' network namespaces.
      - SYS_ADMIN
      # Finding them, by other users' processes.
      - SYS_PTRACE
      {{- range .it.values.moreCapabilities }}
      - {{ . }}
      {{- end }}
  {{- if .apparmor }}
  # The profile of runtimes keeps a container from looking at processes outside of it, capability or not.
  appArmorProfile: {type: Unconfined}
  {{- end }}
  {{- with include "culvert.selinux" $root | trim }}{{ nindent 2 . }}{{ end }}
volumeMounts:
  - {name: node-socket, mountPath: /var/run/ztunnel}
  - {name: plugin-socket, mountPath: /var/run/culvert}
  - {name: state, mountPath: /var/lib/culvert}
  - {name: netns, mountPath: /host{{ .cni.netnsDir }}, mountPropagation: HostToContainer, readOnly: true}
  {{- if $root.Values.cni.enabled }}
  - {name: cni-bin, mountPath: /host/cni/bin}
  - {name: cni-conf, mountPath: /host/cni/net.d}
  {{- end }}
  {{- if eq .it.values.probes "snat" }}
  - {name: xtables-lock, mountPath: /run/xtables.lock}
  {{- end }}
  {{- if eq .purpose "idle" }}
  - {name: nothing, mountPath: /etc/culvert, readOnly: true}
  {{- end }}
{{- end -}}

{{- define "culvert.agent.env" -}}
{{ include "culvert.env.downward" (list "NODE_NAME" "POD_NAME" "POD_NAMESPACE") }}
- {name: MONITORING_PORT, value: "15014"}
- {name: CULVERT_PROBES, value: {{ .Values.agent.probes | quote }}}
{{ include "culvert.membership.env" . }}
- {name: AMBIENT_DNS_CAPTURE, value: {{ .Values.dnsCapture | quote }}}
- {name: AMBIENT_IPV6, value: {{ .Values.ipv6 | quote }}}
{{- with .Values.cni.confName }}
- {name: CNI_CONF_NAME, value: {{ . | quote }}}
{{- end }}
{{ include "culvert.env.log" . }}
{{- end -}}

{{- define "culvert.agent.nothing" -}}
pods: []
{{- end -}}
