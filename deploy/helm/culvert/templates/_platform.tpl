{{- /*
Where a cluster keeps its CNI, as YAML: mode, binDir, confDir, netnsDir. What the user says wins over what is known of the platform.
*/ -}}
{{- define "culvert.cni" -}}
{{- $usual := dict "mode" "append" "binDir" "/opt/cni/bin" "confDir" "/etc/cni/net.d" "netnsDir" "/var/run/netns" -}}
{{- $k3s := "/var/lib/rancher/k3s/agent/etc/cni/net.d" -}}
{{- $platforms := dict
  "k3s" (dict "confDir" $k3s "binDir" "/var/lib/rancher/k3s/data/cni")
  "k3d" (dict "confDir" $k3s "binDir" "/bin")
  "microk8s" (dict "confDir" "/var/snap/microk8s/current/args/cni-network" "binDir" "/var/snap/microk8s/current/opt/cni/bin")
  "minikube" (dict "netnsDir" "/var/run/docker/netns")
  "openshift" (dict "confDir" "/etc/kubernetes/cni/net.d" "binDir" "/var/lib/cni/bin" "mode" "own")
  "gke" (dict "binDir" "/home/kubernetes/bin")
-}}
{{- $said := dict -}}
{{- range $key := keys $usual -}}
{{- with get $.Values.cni $key }}{{ $_ := set $said $key . }}{{ end -}}
{{- end -}}
{{- merge $said (get $platforms .Values.platform | default dict) $usual | toYaml -}}
{{- end -}}
