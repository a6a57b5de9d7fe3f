// action: login
// args: ["alice@example.com","correct horse"]
// outcome: misconfigured
// detail: bind_error
// retires: bind_error
// message: declares none

