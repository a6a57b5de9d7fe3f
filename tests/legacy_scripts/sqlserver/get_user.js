function getByEmail(email, callback) {
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'store',
      rowCollectionOnRequestCompletion: true
    }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const user = {};
    const request = new Request('SELECT Id, Nickname, Email FROM dbo.Users WHERE Email = @Email', function (err, rowCount) {
      if (err) return callback(err);
      callback(null, rowCount === 0 ? null : user);
    });
    request.on('row', function (columns) {
      user.user_id = columns.Id.value;
      columns.forEach(function (column) {
        if (column.metadata.colName !== 'Id') user[column.metadata.colName.toLowerCase()] = column.value;
      });
    });
    request.addParameter('Email', TYPES.VarChar, email);
    connection.execSql(request);
  });
}
