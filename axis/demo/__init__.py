"""What the demonstration is made of: a PKI, organs, documents. A real axis never imports it."""
