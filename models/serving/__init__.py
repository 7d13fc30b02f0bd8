"""Any server that speaks the OpenAI protocol: one client for policies, judges and routers."""
