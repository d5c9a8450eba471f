//! The node's methods over HTTP.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use ethrex_rpc_24::{RpcApiContext, RpcRequestWrapper, map_http_requests, rpc_response, utils::RpcRequest};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{chain, receipts};

/// Answers on loopback until the process ends. Port 0 takes a free one.
pub(crate) async fn serve(context: RpcApiContext, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let mut output = io::stdout();
    writeln!(output, "http://{}", listener.local_addr()?)?;
    output.flush()?;
    axum::serve(listener, Router::new().route("/", post(handle)).with_state(context)).await
}

/// One request or a batch.
async fn handle(State(context): State<RpcApiContext>, body: String) -> Result<Json<Value>, StatusCode> {
    let requests: RpcRequestWrapper = serde_json::from_str(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    match requests {
        RpcRequestWrapper::Single(request) => answer(&context, request).await.map(Json),
        RpcRequestWrapper::Multiple(requests) => {
            let mut answers = Vec::with_capacity(requests.len());
            for request in requests {
                answers.push(answer(&context, request).await?);
            }
            Ok(Json(answers.into()))
        }
    }
}

async fn answer(context: &RpcApiContext, request: RpcRequest) -> Result<Value, StatusCode> {
    let result = match request.method.as_str() {
        "node_mineBlock" => chain::mine(context, request.params).await,
        "eth_getBlockReceipts" => receipts::of_block(context, request.params).await,
        "eth_getTransactionReceipt" => receipts::of_transaction(context, request.params).await,
        _ => map_http_requests(&request, context.clone()).await,
    };
    rpc_response(request.id, result).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
