// action: login
// args: ["alice@example.com","correct horse"]
// level: process
// outcome: out_of_memory
// detail: heap_exhausted
// retires: out_of_memory
// message: heap limit
function login(email, password, callback) {
  const eaten = [];
  for (;;) eaten.push(new Array(1e5).fill({ email }));
}
