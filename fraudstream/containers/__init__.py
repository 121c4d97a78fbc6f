"""The containers of docker-compose.yaml: the same steps and parts as natively, one part a container."""
